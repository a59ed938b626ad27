"""Diagrams of the methods, in one visual language.

    python docs/diagrams.py           # writes docs/methods/*.svg
    python docs/diagrams.py --check   # says which are not what this script draws, and ends with 1 if any is

Boxes: what goes in and comes out (source teal, target orange, mixtures both), networks (bold), teachers (dashed), frozen networks
(dotted), discriminators (cut corners), losses (round). Arrows: gradients flow back along full ones, not along broken ones; a
dotted one is a moving average. Ink is the page's own colour, so that light and dark pages both can show them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from pathlib import Path

HERE = Path(__file__).parent / "methods"
WIDE, HIGH, ACROSS, DOWN, EDGE = 126, 44, 164, 68, 12
SOURCE, TARGET, LOSS = "#00897b", "#e0672c", "#7e57c2"
STYLE = """
.d-box{fill:none;stroke:currentColor;stroke-width:1.3}
.d-source{fill:#00897b22;stroke:#00897b}.d-target{fill:#e0672c22;stroke:#e0672c}
.d-mixed{fill:url(#d-both);stroke:currentColor}
.d-network{fill:#88888818;stroke-width:2.4}.d-teacher{fill:#88888818;stroke-width:2;stroke-dasharray:7 4}
.d-frozen{fill:#88888818;stroke-width:2;stroke-dasharray:1.5 4;stroke-linecap:round}
.d-judge{fill:#7e57c218;stroke:#7e57c2;stroke-width:1.6}.d-loss{fill:#7e57c226;stroke:#7e57c2;stroke-width:1.6}
.d-flow,.d-stop,.d-ema{fill:none;stroke:currentColor;stroke-width:1.3;marker-end:url(#d-tip)}
.d-stop{stroke-dasharray:6 4}.d-ema{stroke-dasharray:1.5 4;stroke-linecap:round;stroke-width:1.8}
.d-text{font:13px system-ui,sans-serif;fill:currentColor;text-anchor:middle}
.d-small{font:11px system-ui,sans-serif;fill:currentColor;opacity:.75}
"""


@dataclass
class Box:
    kind: str
    col: float
    row: float
    text: str

    @property
    def left(self) -> float:
        return EDGE + self.col * ACROSS

    @property
    def top(self) -> float:
        return EDGE + self.row * DOWN

    @property
    def middle(self) -> tuple[float, float]:
        return self.left + WIDE / 2, self.top + HIGH / 2

    def drawn(self) -> str:
        x, y = self.left, self.top
        style = f'class="d-box d-{self.kind}"'
        if self.kind == "judge":
            c, r, b = 10, x + WIDE, y + HIGH
            points = f"{x + c},{y} {r - c},{y} {r},{y + HIGH / 2} {r - c},{b} {x + c},{b} {x},{y + HIGH / 2}"
            shape = f'<polygon {style} points="{points}"/>'
        else:
            round_ = HIGH / 2 if self.kind == "loss" else 5
            shape = f'<rect {style} x="{x}" y="{y}" width="{WIDE}" height="{HIGH}" rx="{round_}"/>'
        lines = self.text.split("\n")
        first = y + HIGH / 2 + 4.5 - 8 * (len(lines) - 1)
        texts = "".join(
            f'<text class="d-text" x="{x + WIDE / 2}" y="{first + 16 * k}">{escape(line)}</text>'
            for k, line in enumerate(lines)
        )
        return shape + texts


@dataclass
class Diagram:
    """Boxes by name on a grid, and arrows between them."""

    title: str
    boxes: dict[str, Box] = field(default_factory=dict)
    arrows: list[tuple[str, str, str, str, float]] = field(default_factory=list)

    def box(self, name: str, kind: str, col: float, row: float, text: str) -> None:
        self.boxes[name] = Box(kind, col, row, text)

    def arrow(self, path: str, style: str = "flow", label: str = "", bend: float = 0.5) -> None:
        """Arrows along 'a > b > c'; ``bend`` says how far along the way between columns an arrow turns."""
        names = path.split(" > ")
        self.arrows += [(a, b, style, label, bend) for a, b in pairwise(names)]

    def line(self, a: Box, b: Box, style: str, label: str, bend: float) -> str:
        (ax, ay), (bx, by) = a.middle, b.middle
        if abs(ax - bx) < 1:  # one above the other
            down = by > ay
            points = [(ax, a.top + HIGH if down else a.top), (bx, b.top if down else b.top + HIGH)]
            at, anchor = (ax + 6, (points[0][1] + points[1][1]) / 2 + 4), "start"
        else:
            right = bx > ax
            start, end = a.left + (WIDE if right else 0), b.left + (0 if right else WIDE)
            turn = start + (end - start) * bend
            points = [(start, ay), (turn, ay), (turn, by), (end, by)] if abs(ay - by) > 1 else [(start, ay), (end, by)]
            at, anchor = ((start + end) / 2, min(ay, by) - 5 if abs(ay - by) < 1 else by - 5), "middle"
        path = "M" + " L".join(f"{x:g} {y:g}" for x, y in points)
        text = f'<text class="d-small" x="{at[0]:g}" y="{at[1]:g}" text-anchor="{anchor}">{escape(label)}</text>'
        return f'<path class="d-{style}" d="{path}"/>' + (text if label else "")

    def svg(self) -> str:
        cols = max(b.col for b in self.boxes.values())
        rows = max(b.row for b in self.boxes.values())
        width, height = 2 * EDGE + cols * ACROSS + WIDE, 2 * EDGE + rows * DOWN + HIGH + 34
        lines = "\n".join(self.line(self.boxes[a], self.boxes[b], *rest) for a, b, *rest in self.arrows)
        boxes = "\n".join(b.drawn() for b in self.boxes.values())
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" class="rsuda-diagram" '
            f'style="max-width:{width:g}px">\n'
            f"<title>{escape(self.title)}</title>\n<style>{STYLE}"
            ".rsuda-diagram{color:var(--md-typeset-color,#333)}\n"
            "@media(prefers-color-scheme:dark){.rsuda-diagram{color:var(--md-typeset-color,#ddd)}}</style>\n"
            '<defs><marker id="d-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0 0L8 4L0 8z" fill="currentColor"/></marker>'
            f'<linearGradient id="d-both"><stop offset=".5" stop-color="{SOURCE}" stop-opacity=".15"/>'
            f'<stop offset=".5" stop-color="{TARGET}" stop-opacity=".15"/></linearGradient></defs>\n'
            f"{lines}\n{boxes}\n{key(height - 14, {a[2] for a in self.arrows})}\n</svg>\n"
        )


def key(y: float, used: set[str]) -> str:
    """What the arrows mean, below the picture."""
    text, x = "", float(EDGE)
    for style, told, wide in (
        ("flow", "gradients flow back", 165),
        ("stop", "they do not", 118),
        ("ema", "moving average", 140),
    ):
        if style not in used:
            continue
        text += f'<path class="d-{style}" d="M{x:g} {y - 4:g} L{x + 34:g} {y - 4:g}"/>'
        text += f'<text class="d-small" x="{x + 40:g}" y="{y:g}">{told}</text>'
        x += wide
    return text


def source_only() -> Diagram:
    d = Diagram("Source-only: a network learns the source's labels")
    d.box("x_s", "source", 0, 0, "source\nimage x_s")
    d.box("net", "network", 1, 0, "network")
    d.box("p", "source", 2, 0, "map P_s")
    d.box("ce", "loss", 3, 0, "cross entropy")
    d.box("y", "source", 2, 1, "label y_s")
    d.box("x_t", "target", 0, 1, "target image\nnot read")
    d.arrow("x_s > net > p > ce")
    d.arrow("y > ce", "stop")
    return d


def adaptsegnet() -> Diagram:
    d = Diagram("AdaptSegNet: a discriminator tells maps of the source from maps of the target")
    d.box("x_s", "source", 0, 0, "source\nimage x_s")
    d.box("x_t", "target", 0, 1.5, "target\nimage x_t")
    d.box("net", "network", 1, 0.75, "network")
    d.box("p_s", "source", 2, 0, "map P_s")
    d.box("p_t", "target", 2, 1.5, "map P_t")
    d.box("ce", "loss", 4, 0, "cross entropy\nwith y_s")
    d.box("judge", "judge", 3, 0.9, "discriminator\nD")
    d.box("own", "loss", 4, 0.9, "D: source\nor target?")
    d.box("fool", "loss", 4, 1.9, "λ · P_t shall\nseem source")
    d.arrow("x_s > net")
    d.arrow("x_t > net")
    d.arrow("net > p_s > ce")
    d.arrow("net > p_t")
    d.arrow("p_s > judge", "stop")
    d.arrow("p_t > judge", "stop")
    d.arrow("judge > own")
    d.arrow("p_t > fool", bend=0.94)
    return d


def mixing(d: Diagram, row: float = 0) -> None:
    """What DACS and those after it share: a teacher labels the target, source classes are pasted on it."""
    d.box("x_s", "source", 0, row, "source image\nand label")
    d.box("x_t", "target", 0, row + 2, "target\nimage x_t")
    d.box("mix", "mixed", 1, row + 1, "half of x_s's\nclasses on x_t")
    d.box("net", "network", 2, row, "network")
    d.box("teacher", "teacher", 1, row + 2, "teacher: average\nof the network")
    d.box("labels", "target", 2, row + 2, "labels,\ntrust q")
    d.box("student", "network", 2, row + 1, "network\n(the same)")
    d.box("ce", "loss", 3, row, "cross entropy\nwith y_s")
    d.box("cem", "loss", 3, row + 1, "λ q · cross\nentropy with y_m")
    d.arrow("x_s > net > ce")
    d.arrow("x_s > mix", "stop")
    d.arrow("x_t > mix", "stop")
    d.arrow("x_t > teacher > labels", "stop")
    d.arrow("mix > student > cem")
    d.arrow("labels > cem", "stop")


def dacs() -> Diagram:
    d = Diagram("DACS: source classes are pasted onto the target, whose labels a teacher gives")
    mixing(d)
    return d


def daformer() -> Diagram:
    d = Diagram("DAFormer: DACS, with rare classes drawn more often and features kept near ImageNet's")
    mixing(d, 1)
    d.box("rare", "source", 0, 0, "rare-class\nsampling")
    d.box("frozen", "frozen", 2, 0, "frozen\nencoder")
    d.box("fd", "loss", 3, 0, "λ_FD · distance\nof features")
    d.arrow("rare > x_s", "stop")
    d.arrow("x_s > frozen", "stop", bend=0.12)
    d.arrow("frozen > fd", "stop")
    d.arrow("net > fd", bend=0.5)
    return d


def hrda() -> Diagram:
    d = Diagram("HRDA: each image is seen whole at half its resolution and in detail through a window")
    d.box("x", "mixed", 0, 0.75, "source image\nor mixture")
    d.box("low", "mixed", 1, 0, "whole, half\nresolution")
    d.box("high", "mixed", 1, 1.5, "detail window,\nfull resolution")
    d.box("net", "network", 2, 0, "network")
    d.box("same", "network", 2, 1.5, "network\n(the same)")
    d.box("att", "network", 3, 0.75, "scale\nattention")
    d.box("ce", "loss", 4, 0.75, "(1 − λ_d) · cross\nentropy, fused")
    d.box("ced", "loss", 4, 1.75, "λ_d · cross\nentropy, detail")
    d.box("teacher", "teacher", 1, 2.7, "teacher: whole\nand 3 × 3 details")
    d.box("x_t", "target", 0, 2.7, "target\nimage x_t")
    d.box("labels", "target", 2, 2.7, "labels,\ntrust q")
    d.arrow("x > low > net > att > ce")
    d.arrow("x > high > same > att")
    d.arrow("same > ced", bend=0.9)
    d.arrow("x_t > teacher > labels", "stop")
    d.arrow("labels > ced", "stop", bend=0.955)
    return d


def mic() -> Diagram:
    d = Diagram("MIC: the student sees a masked target image and shall answer as the teacher who sees all of it")
    mixing(d)
    d.box("masked", "target", 1, 3, "x_t, 70 %\nmasked")
    d.box("again", "network", 2, 3, "network\n(the same)")
    d.box("cemask", "loss", 3, 3, "λ_M q · cross\nentropy")
    d.arrow("x_t > masked", "stop")
    d.arrow("masked > again > cemask")
    d.arrow("labels > cemask", "stop")
    return d


def bicl() -> Diagram:
    d = Diagram("BiCL: pixels of each domain are drawn to the class prototypes of the other")
    d.box("x_s", "source", 0, 0, "source image\nand label")
    d.box("x_t", "target", 0, 2, "target\nimage x_t")
    d.box("net", "network", 1, 0, "network")
    d.box("same", "network", 1, 2, "network\n(the same)")
    d.box("f_s", "source", 2, 0, "features f_S")
    d.box("f_t", "target", 2, 2, "features f_T")
    d.box("rho_s", "source", 3, 0.5, "prototypes ρ_S\nby y_s")
    d.box("rho_t", "target", 3, 1.5, "prototypes ρ_T\nby y_T")
    d.box("bcl", "loss", 4, 0, "BCL: f_S near\nits class in ρ_T")
    d.box("fcl", "loss", 4, 2, "FCL: f_T near\nits class in ρ_S")
    d.box("teacher", "teacher", 1, 3, "teacher:\nstatic labels y_F")
    d.box("y_t", "target", 2, 3, "hybrid labels\ny_T")
    d.box("cal", "source", 3, 3, "ρ_S + bias ξ:\nlabels y_D")
    d.box("ce", "loss", 4, 3, "cross entropy,\nentropy")
    d.arrow("x_s > net > f_s")
    d.arrow("x_t > same > f_t")
    d.arrow("f_s > rho_s")
    d.arrow("f_t > rho_t")
    d.arrow("f_s > bcl")
    d.arrow("f_t > fcl")
    d.arrow("rho_t > bcl")
    d.arrow("rho_s > fcl")
    d.arrow("x_t > teacher > y_t", "stop")
    d.arrow("cal > y_t", "stop")
    d.arrow("f_t > ce", bend=0.915)
    return d


def cluda() -> Diagram:
    d = Diagram("CLUDA: DAFormer's training, with pixels of one class drawn together in the source and in the mixture")
    mixing(d)
    d.box("c_s", "loss", 4, 0, "λ_C · contrast\nof F_s by y_s")
    d.box("c_m", "loss", 4, 1, "λ_C · contrast\nof F_m by y_m, q")
    d.boxes["net"].text, d.boxes["student"].text = "network\nfeatures F_s", "the same\nfeatures F_m"
    d.arrows = [a for a in d.arrows if a[1] not in ("ce", "cem")]
    d.arrow("net > ce")
    d.arrow("student > cem")
    d.arrow("labels > cem", "stop")
    d.arrow("ce > c_s", "flow")
    d.arrow("cem > c_m", "flow")
    return d


def st_dasegnet() -> Diagram:
    d = Diagram(
        "ST-DASegNet: two students, a disentangle module, teachers of the decoders, discriminators of the backbones"
    )
    d.box("x_s", "source", 0, 0.5, "source image\nx_s, label y_s")
    d.box("x_t", "target", 0, 2.5, "target\nimage x_t")
    d.box("b_s", "network", 1, 0.5, "backbone B_S\nsource student")
    d.box("b_t", "network", 1, 2.5, "backbone B_T\ntarget student")
    d.box("d_s", "judge", 2, 0, "discriminator\nD_S")
    d.box("d_t", "judge", 2, 3, "discriminator\nD_T")
    d.box("dis", "network", 2, 1.5, "disentangle:\ndistinct, universal")
    d.box("h_s", "network", 3, 1, "decoder H_S")
    d.box("h_t", "network", 3, 2, "decoder H_T")
    d.box("t", "teacher", 3, 3, "teachers T_S, T_T\nof the decoders")
    d.box("ce", "loss", 4, 1, "cross entropy\nof x_s with y_s")
    d.box("ps", "loss", 4, 2, "λ q · cross\nentropy of x_t")
    d.box("y", "target", 4, 3, "pseudo labels\nof x_t")
    d.box("fool", "loss", 3, 0, "λ · styles shall\nseem alike")
    d.arrow("x_s > b_s > dis")
    d.arrow("x_t > b_t > dis")
    d.arrow("x_s > b_t", bend=0.3)
    d.arrow("x_t > b_s", bend=0.7)
    d.arrow("dis > h_s > ce")
    d.arrow("dis > h_t > ps")
    d.arrow("b_s > d_s > fool", bend=0.3)
    d.arrow("b_t > d_t", bend=0.3)
    d.arrow("h_t > t", "ema", "EMA")
    d.arrow("t > y", "stop")
    d.arrow("y > ps", "stop")
    return d


DIAGRAMS = {
    "source-only": source_only, "adaptsegnet": adaptsegnet, "dacs": dacs, "daformer": daformer, "hrda": hrda, "mic": mic,
    "bicl": bicl, "cluda": cluda, "st-dasegnet": st_dasegnet,
}  # fmt: skip


def main() -> int:
    old = []
    for name, draw in DIAGRAMS.items():
        file, text = HERE / f"{name}.svg", draw().svg()
        if not file.is_file() or file.read_text() != text:
            old.append(name)
            if "--check" not in sys.argv:
                file.write_text(text)
    print("\n".join(f"{n}.svg {'is old' if '--check' in sys.argv else 'written'}" for n in old))
    return int(bool(old) and "--check" in sys.argv)


if __name__ == "__main__":
    raise SystemExit(main())
