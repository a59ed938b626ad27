"""Run the command ``rsuda`` as an algorithm of Processing."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from processing.core.ProcessingConfig import ProcessingConfig
from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputDefinition,
    QgsVectorLayer,
)
from qgis.PyQt.QtGui import QIcon

from rsuda_qgis.child import run_command
from rsuda_qgis.command import CommandMissingError, command_environment, find_command
from rsuda_qgis.lines import error_sentence, is_progress_alone, percent, read_answer
from rsuda_qgis.parameters import Option, text
from rsuda_qgis.values import Request
from rsuda_qgis.words import command_words, shell_line, with_labels

PLUGIN = Path(__file__).parent
_EXTRA = "EXTRA"


class CommandAlgorithm(QgsProcessingAlgorithm):
    """An algorithm that runs one command of rsuda. Its subclasses declare parameters and read the answer.

    Attributes:
        command: name of the command, and of the algorithm.
        title: name in the toolbox.
        section: group in the toolbox.
        about: help of the dialog, in paragraphs.
        as_json: whether the command answers in JSON.
    """

    command = ""
    title = ""
    section = ""
    about: tuple[str, ...] = ()
    as_json = True

    def options(self) -> list[Option]:
        """Return the parameters, in the order of the dialog."""
        raise NotImplementedError

    def outputs(self) -> list[QgsProcessingOutputDefinition]:
        """Return the outputs that have no parameter."""
        return []

    def finish(self, answer: Any, request: Request) -> dict[str, Any]:
        """Load layers, and return the outputs by name.

        Args:
            answer: JSON of the command; None where it has none.
            request: values of the parameters.
        """
        raise NotImplementedError

    def name(self) -> str:
        """Return the second part of the algorithm's id."""
        return self.command

    def displayName(self) -> str:  # noqa: N802 - QGIS calls it
        """Return the name in the toolbox."""
        return self.title

    def group(self) -> str:
        """Return the group in the toolbox."""
        return self.section

    def groupId(self) -> str:  # noqa: N802 - QGIS calls it
        """Return the group's id."""
        return self.section.lower()

    def shortHelpString(self) -> str:  # noqa: N802 - QGIS calls it
        """Return the help of the dialog."""
        return "".join(f"<p>{paragraph}</p>" for paragraph in self.about)

    def icon(self) -> QIcon:
        """Return the picture of the toolbox."""
        return QIcon(str(PLUGIN / "icon.svg"))

    def svgIconPath(self) -> str:  # noqa: N802 - QGIS calls it
        """Return the file of the picture."""
        return str(PLUGIN / "icon.svg")

    def createInstance(self) -> CommandAlgorithm:  # noqa: N802 - QGIS calls it
        """Make the object that one run uses."""
        return type(self)()

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:  # noqa: N802 - QGIS calls it
        """Declare parameters and outputs."""
        sentence = f"More options as you would type them after rsuda {self.command}; its help in a terminal lists them."
        self.declared = [*self.options(), text(_EXTRA, "Further options", "", sentence)]
        for option in self.declared:
            self.addParameter(option.parameter.clone())
        for output in self.outputs():
            self.addOutput(output)

    def checkParameterValues(  # noqa: N802 - QGIS calls it
        self, parameters: dict[str, Any], context: QgsProcessingContext
    ) -> tuple[bool, str]:
        """Check before anything runs that there is a command, that it can be called, and that layers are saved."""
        fits, sentence = super().checkParameterValues(parameters, context)
        if not fits:
            return fits, sentence
        try:
            self._first_words()
            command_words("", [], str(parameters.get(_EXTRA) or ""))
        except CommandMissingError as error:
            return False, str(error)
        except ValueError as error:
            return False, f"the further options cannot be read: {error}"
        sentence = self._unsaved_edits(parameters, context)
        return not sentence, sentence

    def prepareAlgorithm(  # noqa: N802 - QGIS calls it
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> bool:
        """Refuse layers with unsaved edits in a model too, which does not check the values of its parts."""
        sentence = self._unsaved_edits(parameters, context)
        if sentence:
            raise QgsProcessingException(sentence)
        return True

    def _unsaved_edits(self, parameters: dict[str, Any], context: QgsProcessingContext) -> str:
        """Name a layer with unsaved edits, since the command reads files; '' without one."""
        for option in self.declared:
            if option.parameter.type() not in ("vector", "source"):
                continue
            layer = self.parameterAsLayer(parameters, option.parameter.name(), context)
            if isinstance(layer, QgsVectorLayer) and layer.isEditable() and layer.isModified():
                return f"the layer '{layer.name()}' has unsaved edits: save them first"
        return ""

    def processAlgorithm(  # noqa: N802 - QGIS calls it
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """Run the command. A cancelled one has no outputs."""
        request = Request(self, parameters, context, feedback)
        pairs = [(option.flag, option.read(request, option.parameter.name())) for option in self._of_command()]
        extra = self.parameterAsString(parameters, _EXTRA, context)
        words = command_words(self.command, pairs, extra, self.as_json)
        out = self._run([*self._first_words(), *words], request)
        if out is None:
            return {}
        try:
            answer = read_answer(out) if self.as_json else None
        except ValueError:
            raise QgsProcessingException(f"the command answered without JSON: {out[-500:]}") from None
        self._show_notes(answer, feedback)
        return self.finish(answer, request)

    def _of_command(self) -> list[Any]:
        return [option for option in self.declared if option.flag is not None and option.parameter.name() != _EXTRA]

    def _first_words(self) -> list[str]:
        setting = ProcessingConfig.getSetting("RSUDA_COMMAND") or ""
        return find_command(setting, PLUGIN, os.environ, sys.prefix)

    def _run(self, words: list[str], request: Request) -> str | None:
        """Run a command line and return its stdout; None if it was cancelled.

        Raises:
            QgsProcessingException: the command's sentence.
        """
        feedback = request.feedback
        feedback.pushCommandInfo(shell_line(words))

        def show(line: str) -> None:
            share = percent(line)
            if share is not None:
                feedback.setProgress(share)
            if not is_progress_alone(line) and not line.startswith("Error: "):  # QGIS shows the exception
                feedback.pushInfo(line)

        try:
            finished = run_command(
                words, command_environment(words, os.environ), _working_folder(request), show, feedback.isCanceled
            )
        except OSError as error:
            raise QgsProcessingException(f"{words[0]} cannot be started: {error}") from None
        if finished.code is None:
            feedback.pushInfo("The command was ended.")
            return None
        if finished.code:
            raise QgsProcessingException(self.labelled(error_sentence(finished.code, finished.lines)))
        return finished.out

    def labelled(self, sentence: str) -> str:
        """Name the parameters of the dialog where a sentence of the command names its flags."""
        labels = {option.flag: option.parameter.description() for option in self._of_command()}
        return with_labels(sentence, labels)

    def _show_notes(self, answer: Any, feedback: QgsProcessingFeedback) -> None:
        notes = answer.get("notes") if isinstance(answer, dict) else None
        for note in notes or []:
            feedback.pushWarning(self.labelled(str(note)))


def _working_folder(request: Request) -> str:
    """Return the folder that typed relative paths begin at: the project's, or the user's."""
    project = request.context.project()
    home = project.homePath() if project is not None else ""
    return home if home and os.path.isdir(home) else os.path.expanduser("~")
