"""Settings by short names for tests: 'steps' is training.steps; what is no setting is an option of the method."""

from rsuda.core.old_settings import OLD_NAMES
from rsuda.core.settings import make_settings
from rsuda.methods import option_names, presets_of


def by_dotted_name(short):
    """Dotted names of settings; 'options' are the method's."""
    names = OLD_NAMES | {"window": "patches.window"}
    options = {f"method.{k}": v for k, v in short.pop("options", {}).items()}
    return {names.get(k, k): v for k, v in short.items()} | options


def settings(file=None, **short):
    """Settings as the command line makes them from a file and flags."""
    return make_settings(by_dotted_name(short), file, presets_of=presets_of, option_names=option_names)


def changed(settings, **short):
    """Settings with some values changed."""
    return settings.changed(by_dotted_name(short))
