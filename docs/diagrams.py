"""Draw the diagrams of the methods, with one set of symbols.

    python docs/diagrams.py           # writes docs/methods/*.svg
    python docs/diagrams.py --check   # lists the files that differ, and exits with 1 if there are any

Boxes are inputs and outputs (source teal, target orange, mixtures both), networks (bold), teachers (dashed), frozen
networks (dotted), discriminators (cut corners) and losses (round). Gradients flow back along full arrows and stop
at broken ones; a dotted arrow is a moving average. Lines have the text colour of the page, for light and dark
pages.
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
.d-discriminator{fill:#7e57c218;stroke:#7e57c2;stroke-width:1.6}.d-loss{fill:#7e57c226;stroke:#7e57c2;stroke-width:1.6}
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

    def svg(self) -> str:
        x, y = self.left, self.top
        style = f'class="d-box d-{self.kind}"'
        if self.kind == "discriminator":
            cut, right, bottom, middle = 10, x + WIDE, y + HIGH, y + HIGH / 2
            points = f"{x + cut},{y} {right - cut},{y} {right},{middle} {right - cut},{bottom} {x + cut},{bottom} {x},{middle}"
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
        """Add arrows along 'a > b > c'. ``bend`` is the share of the way between columns at which an arrow turns."""
        names = path.split(" > ")
        self.arrows += [(start, end, style, label, bend) for start, end in pairwise(names)]

    def line(self, first: Box, second: Box, style: str, label: str, bend: float) -> str:
        (ax, ay), (bx, by) = first.middle, second.middle
        if abs(ax - bx) < 1:  # one above the other
            down = by > ay
            points = [(ax, first.top + HIGH if down else first.top), (bx, second.top if down else second.top + HIGH)]
            at, anchor = (ax + 6, (points[0][1] + points[1][1]) / 2 + 4), "start"
        else:
            right = bx > ax
            start, end = first.left + (WIDE if right else 0), second.left + (0 if right else WIDE)
            turn = start + (end - start) * bend
            points = [(start, ay), (turn, ay), (turn, by), (end, by)] if abs(ay - by) > 1 else [(start, ay), (end, by)]
            at, anchor = ((start + end) / 2, min(ay, by) - 5 if abs(ay - by) < 1 else by - 5), "middle"
        path = "M" + " L".join(f"{x:g} {y:g}" for x, y in points)
        text = f'<text class="d-small" x="{at[0]:g}" y="{at[1]:g}" text-anchor="{anchor}">{escape(label)}</text>'
        return f'<path class="d-{style}" d="{path}"/>' + (text if label else "")

    def svg(self) -> str:
        cols = max(box.col for box in self.boxes.values())
        rows = max(box.row for box in self.boxes.values())
        width, height = 2 * EDGE + cols * ACROSS + WIDE, 2 * EDGE + rows * DOWN + HIGH + 34
        lines = "\n".join(self.line(self.boxes[start], self.boxes[end], *rest) for start, end, *rest in self.arrows)
        boxes = "\n".join(box.svg() for box in self.boxes.values())
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" class="rsuda-diagram" '
            f'style="max-width:{width:g}px">\n'
            f"<title>{escape(self.title)}</title>\n<style>{STYLE}"
            ".rsuda-diagram{color:var(--pst-color-text-base,#333)}\n"
            "@media(prefers-color-scheme:dark){.rsuda-diagram{color:var(--pst-color-text-base,#ddd)}}</style>\n"
            '<defs><marker id="d-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0 0L8 4L0 8z" fill="currentColor"/></marker>'
            f'<linearGradient id="d-both"><stop offset=".5" stop-color="{SOURCE}" stop-opacity=".15"/>'
            f'<stop offset=".5" stop-color="{TARGET}" stop-opacity=".15"/></linearGradient></defs>\n'
            f"{lines}\n{boxes}\n{key(height - 14, {arrow[2] for arrow in self.arrows})}\n</svg>\n"
        )


def key(y: float, used: set[str]) -> str:
    """Draw the key of the arrows, below the picture."""
    text, x = "", float(EDGE)
    for style, meaning, wide in (
        ("flow", "gradients flow back", 165),
        ("stop", "no gradients", 118),
        ("ema", "moving average", 140),
    ):
        if style not in used:
            continue
        text += f'<path class="d-{style}" d="M{x:g} {y - 4:g} L{x + 34:g} {y - 4:g}"/>'
        text += f'<text class="d-small" x="{x + 40:g}" y="{y:g}">{meaning}</text>'
        x += wide
    return text


def source_only() -> Diagram:
    diagram = Diagram("Source-only: a network learns the source's labels")
    diagram.box("x_s", "source", 0, 0, "source\nimage x_s")
    diagram.box("net", "network", 1, 0, "network")
    diagram.box("p", "source", 2, 0, "map P_s")
    diagram.box("ce", "loss", 3, 0, "cross entropy")
    diagram.box("y", "source", 2, 1, "label y_s")
    diagram.box("x_t", "target", 0, 1, "target image\nnot read")
    diagram.arrow("x_s > net > p > ce")
    diagram.arrow("y > ce", "stop")
    return diagram


def adaptsegnet() -> Diagram:
    diagram = Diagram("AdaptSegNet: a discriminator separates maps of the source from maps of the target")
    diagram.box("x_s", "source", 0, 0, "source\nimage x_s")
    diagram.box("x_t", "target", 0, 1.5, "target\nimage x_t")
    diagram.box("net", "network", 1, 0.75, "network")
    diagram.box("p_s", "source", 2, 0, "map P_s")
    diagram.box("p_t", "target", 2, 1.5, "map P_t")
    diagram.box("ce", "loss", 4, 0, "cross entropy\nwith y_s")
    diagram.box("D", "discriminator", 3, 0.9, "discriminator\nD")
    diagram.box("own", "loss", 4, 0.9, "D: source\nor target?")
    diagram.box("adversarial", "loss", 4, 1.9, "λ · adversarial:\nP_t like source")
    diagram.arrow("x_s > net")
    diagram.arrow("x_t > net")
    diagram.arrow("net > p_s > ce")
    diagram.arrow("net > p_t")
    diagram.arrow("p_s > D", "stop")
    diagram.arrow("p_t > D", "stop")
    diagram.arrow("D > own")
    diagram.arrow("p_t > adversarial", bend=0.94)
    return diagram


def mixing(diagram: Diagram, row: float = 0) -> None:
    """Draw the part that DACS and its successors share: a teacher labels the target, source classes are pasted on it."""
    diagram.box("x_s", "source", 0, row, "source image\nand label")
    diagram.box("x_t", "target", 0, row + 2, "target\nimage x_t")
    diagram.box("mix", "mixed", 1, row + 1, "half of x_s's\nclasses on x_t")
    diagram.box("net", "network", 2, row, "network")
    diagram.box("teacher", "teacher", 1, row + 2, "teacher: average\nof the network")
    diagram.box("labels", "target", 2, row + 2, "labels,\nweight q")
    diagram.box("student", "network", 2, row + 1, "network\n(the same)")
    diagram.box("ce", "loss", 3, row, "cross entropy\nwith y_s")
    diagram.box("cem", "loss", 3, row + 1, "λ q · cross\nentropy with y_m")
    diagram.arrow("x_s > net > ce")
    diagram.arrow("x_s > mix", "stop")
    diagram.arrow("x_t > mix", "stop")
    diagram.arrow("x_t > teacher > labels", "stop")
    diagram.arrow("mix > student > cem")
    diagram.arrow("labels > cem", "stop")


def dacs() -> Diagram:
    diagram = Diagram("DACS: source classes are pasted onto the target, which a teacher labels")
    mixing(diagram)
    return diagram


def daformer() -> Diagram:
    diagram = Diagram("DAFormer: DACS, with rare classes drawn more often and features held near ImageNet's")
    mixing(diagram, 1)
    diagram.box("rare", "source", 0, 0, "rare-class\nsampling")
    diagram.box("frozen", "frozen", 2, 0, "frozen\nencoder")
    diagram.box("fd", "loss", 3, 0, "λ_FD · distance\nof features")
    diagram.arrow("rare > x_s", "stop")
    diagram.arrow("x_s > frozen", "stop", bend=0.12)
    diagram.arrow("frozen > fd", "stop")
    diagram.arrow("net > fd", bend=0.5)
    return diagram


def hrda() -> Diagram:
    diagram = Diagram("HRDA: each image is seen whole at half its resolution and in detail through a window")
    diagram.box("x", "mixed", 0, 0.75, "source image\nor mixture")
    diagram.box("low", "mixed", 1, 0, "whole, half\nresolution")
    diagram.box("high", "mixed", 1, 1.5, "detail window,\nfull resolution")
    diagram.box("net", "network", 2, 0, "network")
    diagram.box("same", "network", 2, 1.5, "network\n(the same)")
    diagram.box("att", "network", 3, 0.75, "scale\nattention")
    diagram.box("ce", "loss", 4, 0.75, "(1 − λ_d) · cross\nentropy, fused")
    diagram.box("ced", "loss", 4, 1.75, "λ_d · cross\nentropy, detail")
    diagram.box("teacher", "teacher", 1, 2.7, "teacher: whole\nand 3 × 3 details")
    diagram.box("x_t", "target", 0, 2.7, "target\nimage x_t")
    diagram.box("labels", "target", 2, 2.7, "labels,\nweight q")
    diagram.arrow("x > low > net > att > ce")
    diagram.arrow("x > high > same > att")
    diagram.arrow("same > ced", bend=0.9)
    diagram.arrow("x_t > teacher > labels", "stop")
    diagram.arrow("labels > ced", "stop", bend=0.955)
    return diagram


def mic() -> Diagram:
    diagram = Diagram(
        "MIC: the student sees a masked target image and learns the labels of the teacher, which sees all of it"
    )
    mixing(diagram)
    diagram.box("masked", "target", 1, 3, "x_t, 70 %\nmasked")
    diagram.box("again", "network", 2, 3, "network\n(the same)")
    diagram.box("cemask", "loss", 3, 3, "λ_M q · cross\nentropy")
    diagram.arrow("x_t > masked", "stop")
    diagram.arrow("masked > again > cemask")
    diagram.arrow("labels > cemask", "stop")
    return diagram


def bicl() -> Diagram:
    diagram = Diagram("BiCL: pixels of each domain are drawn to the class prototypes of the other")
    diagram.box("x_s", "source", 0, 0, "source image\nand label")
    diagram.box("x_t", "target", 0, 2, "target\nimage x_t")
    diagram.box("net", "network", 1, 0, "network")
    diagram.box("same", "network", 1, 2, "network\n(the same)")
    diagram.box("f_s", "source", 2, 0, "features f_S")
    diagram.box("f_t", "target", 2, 2, "features f_T")
    diagram.box("rho_s", "source", 3, 0.5, "prototypes ρ_S\nby y_s")
    diagram.box("rho_t", "target", 3, 1.5, "prototypes ρ_T\nby y_T")
    diagram.box("bcl", "loss", 4, 0, "BCL: f_S near\nits class in ρ_T")
    diagram.box("fcl", "loss", 4, 2, "FCL: f_T near\nits class in ρ_S")
    diagram.box("teacher", "teacher", 1, 3, "teacher:\nstatic labels y_F")
    diagram.box("y_t", "target", 2, 3, "hybrid labels\ny_T")
    diagram.box("cal", "source", 3, 3, "ρ_S + bias ξ:\nlabels y_D")
    diagram.box("ce", "loss", 4, 3, "cross entropy,\nentropy")
    diagram.arrow("x_s > net > f_s")
    diagram.arrow("x_t > same > f_t")
    diagram.arrow("f_s > rho_s")
    diagram.arrow("f_t > rho_t")
    diagram.arrow("f_s > bcl")
    diagram.arrow("f_t > fcl")
    diagram.arrow("rho_t > bcl")
    diagram.arrow("rho_s > fcl")
    diagram.arrow("x_t > teacher > y_t", "stop")
    diagram.arrow("cal > y_t", "stop")
    diagram.arrow("f_t > ce", bend=0.915)
    return diagram


def cluda() -> Diagram:
    diagram = Diagram(
        "CLUDA: DAFormer's training, with pixels of one class drawn together in the source and in the mixture"
    )
    mixing(diagram)
    diagram.box("c_s", "loss", 4, 0, "λ_C · contrast\nof F_s by y_s")
    diagram.box("c_m", "loss", 4, 1, "λ_C · contrast\nof F_m by y_m, q")
    diagram.boxes["net"].text, diagram.boxes["student"].text = "network\nfeatures F_s", "the same\nfeatures F_m"
    diagram.arrows = [arrow for arrow in diagram.arrows if arrow[1] not in ("ce", "cem")]
    diagram.arrow("net > ce")
    diagram.arrow("student > cem")
    diagram.arrow("labels > cem", "stop")
    diagram.arrow("ce > c_s", "flow")
    diagram.arrow("cem > c_m", "flow")
    return diagram


def st_dasegnet() -> Diagram:
    diagram = Diagram(
        "ST-DASegNet: two students, a disentangle module, teachers of the decoders, discriminators of the backbones"
    )
    diagram.box("x_s", "source", 0, 0.5, "source image\nx_s, label y_s")
    diagram.box("x_t", "target", 0, 2.5, "target\nimage x_t")
    diagram.box("b_s", "network", 1, 0.5, "backbone B_S\nsource student")
    diagram.box("b_t", "network", 1, 2.5, "backbone B_T\ntarget student")
    diagram.box("d_s", "discriminator", 2, 0, "discriminator\nD_S")
    diagram.box("d_t", "discriminator", 2, 3, "discriminator\nD_T")
    diagram.box("dis", "network", 2, 1.5, "disentangle:\ndistinct, universal")
    diagram.box("h_s", "network", 3, 1, "decoder H_S")
    diagram.box("h_t", "network", 3, 2, "decoder H_T")
    diagram.box("t", "teacher", 3, 3, "teachers T_S, T_T\nof the decoders")
    diagram.box("ce", "loss", 4, 1, "cross entropy\nof x_s with y_s")
    diagram.box("ps", "loss", 4, 2, "λ q · cross\nentropy of x_t")
    diagram.box("y", "target", 4, 3, "pseudo labels\nof x_t")
    diagram.box("adversarial", "loss", 3, 0, "λ · adversarial\nterms")
    diagram.arrow("x_s > b_s > dis")
    diagram.arrow("x_t > b_t > dis")
    diagram.arrow("x_s > b_t", bend=0.3)
    diagram.arrow("x_t > b_s", bend=0.7)
    diagram.arrow("dis > h_s > ce")
    diagram.arrow("dis > h_t > ps")
    diagram.arrow("b_s > d_s > adversarial", bend=0.3)
    diagram.arrow("b_t > d_t", bend=0.3)
    diagram.arrow("h_t > t", "ema", "EMA")
    diagram.arrow("t > y", "stop")
    diagram.arrow("y > ps", "stop")
    return diagram


def source_free() -> Diagram:
    diagram = Diagram(
        "Source-free: what has learnt the source adapts to target images alone; prototypes of the source correct the teacher"
    )
    diagram.box("x_t", "target", 0, 1, "target\nimage x_t")
    diagram.box("teacher", "teacher", 2, 1, "teacher")
    diagram.box("frozen", "frozen", 2, 2, "frozen\nencoder")
    diagram.box("bank", "source", 3, 3, "means of the\nsource: m_k")
    diagram.box("cosine", "target", 3, 2, "λ · cosine\nz, m_k")
    diagram.box("labels", "target", 3, 1, "pseudo labels,\nsurer half")
    diagram.box("x_m", "target", 1, 0, "two target\nimages, mixed")
    diagram.box("net", "network", 2, 0, "network")
    diagram.box("ce", "loss", 3, 0, "cross\nentropy")
    diagram.arrow("x_t > x_m", "stop")
    diagram.arrow("x_m > net > ce")
    diagram.arrow("x_t > teacher > labels", "stop")
    diagram.arrow("x_t > frozen > cosine > labels", "stop")
    diagram.arrow("bank > cosine", "stop")
    diagram.arrow("labels > ce", "stop")
    diagram.arrow("net > teacher", "ema", "EMA")
    return diagram


DIAGRAMS = {
    "source-only": source_only, "adaptsegnet": adaptsegnet, "dacs": dacs, "daformer": daformer, "hrda": hrda, "mic": mic,
    "bicl": bicl, "cluda": cluda, "st-dasegnet": st_dasegnet,
    "source-free": source_free,
}  # fmt: skip


def main() -> int:
    old = []
    for name, draw in DIAGRAMS.items():
        file, text = HERE / f"{name}.svg", draw().svg()
        if not file.is_file() or file.read_text() != text:
            old.append(name)
            if "--check" not in sys.argv:
                file.write_text(text)
    print("\n".join(f"{name}.svg {'is old' if '--check' in sys.argv else 'written'}" for name in old))
    return int(bool(old) and "--check" in sys.argv)


if __name__ == "__main__":
    raise SystemExit(main())
