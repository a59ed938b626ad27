"""Write the sentences that a paper's methods and results sections need."""

from __future__ import annotations

import math

from rsuda.accuracy.display import area_interval, area_unit, percent
from rsuda.accuracy.results import Assessment
from rsuda.core.version import __version__

_REFERENCES = (
    "Olofsson, P., Foody, G. M., Herold, M., Stehman, S. V., Woodcock, C. E., Wulder, M. A. (2014). Good practices for "
    "estimating area and assessing accuracy of land change. Remote Sensing of Environment 148, 42-57, "
    "doi:10.1016/j.rse.2014.02.015",
    "Stehman, S. V. (2014). Estimating area and map accuracy for stratified random sampling when the strata are different "
    "from the map classes. International Journal of Remote Sensing 35, 4923-4939, doi:10.1080/01431161.2014.930207",
    "Brown, L. D., Cai, T. T., DasGupta, A. (2001). Interval estimation for a binomial proportion. Statistical Science 16, "
    "101-133",
    "Zou, G. Y., Huang, W., Zhang, X. (2009). A note on confidence interval estimation for a linear function of binomial "
    "proportions. Computational Statistics & Data Analysis 53, 1080-1085",
)


def methods_text(result: Assessment) -> str:
    """Describe the sample, the estimators and the results, with references."""
    unit = area_unit(result.total_area, result.unit)
    parts = [_sample(result), _estimators(result), f"Overall accuracy is {percent(result.overall)} %."]
    for part in result.classes:
        if part.points_mapped or part.points_labelled:
            parts.append(
                f"{part.name}: user's accuracy {percent(part.users)} %, producer's accuracy {percent(part.producers)} %, area "
                f"{area_interval(part.area, unit)} {unit[0]}."
            )
    if result.comparison is not None:
        difference = result.comparison.difference
        parts.append(
            f"On the same points the overall accuracy of {result.comparison.map} is {percent(result.comparison.overall)} %; the "
            f"difference is {percent(difference)} points (paired)."
        )
    return "\n".join([" ".join(parts), "", *_REFERENCES, ""])


def _sample(result: Assessment) -> str:
    numbers = [part.labelled for part in result.strata]
    each = f"{min(numbers)} to {max(numbers)}" if min(numbers) < max(numbers) else f"{numbers[0]}"
    count = f"{result.labelled} of {result.points}" if result.labelled < result.points else f"{result.labelled}"
    strata = {
        "stratified random": f"a stratified random sample of pixels with {len(numbers)} strata and {each} points in each",
        "post-stratified simple random": f"a simple random sample, post-stratified by the {len(numbers)} classes of the map",
    }.get(result.design, "a simple random sample")
    return f"The accuracy of the map was assessed by {count} points, {strata}; each was labelled by interpretation."


def _estimators(result: Assessment) -> str:
    map_areas = {part.name: part.mapped_area for part in result.classes if part.mapped_area > 0}
    strata = {part.name: part.area for part in result.strata}
    by_class = strata.keys() == map_areas.keys() and all(
        math.isclose(area, map_areas[name]) for name, area in strata.items()
    )
    paper = "Olofsson et al. (2014)" if by_class else "Stehman (2014), since the strata are not the classes of the map"
    return (
        f"Accuracies and areas are the stratified estimators of {paper}, weighted by ground area. Parentheses hold 95 % "
        "intervals: beta limits of the strata's proportions (between those of Jeffreys and of Clopper and Pearson; Brown et al. "
        "2001), joined by the method of variance estimates recovery (Zou et al. 2009). "
        f"Computed by rsuda {__version__}."
    )
