"""Source-free: learn a source and then adapt to a target without its data, or adapt a finished run.

Liang, Hu, Feng, "Do we really need to access the source data? Source hypothesis transfer for unsupervised domain
adaptation" (SHOT), ICML 2020, arXiv 2002.08546: the classifier stays as it is, the rest adapts to pseudo labels.
Liu, Zhang, Wang, "Source-free domain adaptation for semantic segmentation", CVPR 2021, arXiv 2103.16372: the same
question for segmentation.
Zhang, Zhang, Zhang, Chen, Wang, Wen, "Prototypical pseudo label denoising and target structure learning for domain
adaptive semantic segmentation" (ProDA), CVPR 2021, arXiv 2101.10979. p''(k) = p(k) w(k), w = softmax over k of the
nearness of a feature to the class's prototype.

Symbols: x_s, y_s a source image and its label, x_t a target image, p the teacher's softmax. z is a cell of a frozen encoder, m_k
the source's mean cell of class k. Both are about the mean of the classes and divided by the deviation.

First phase, with a source:

    L = CE(student(x_s), y_s); m_k are means of the cells of x_s

Second phase, or the whole of a run without a source:

    p''(k) = p(k) exp(lambda cos(z, m_k)) / sum over j of p(j) exp(lambda cos(z, m_j))
    y = argmax p'', trusted where p'' is among the surer half of the pixels with label y
    L = CE(student(x_m), y_m), x_m, y_m = parts of another target image pasted onto x_t

Deviations: ProDA's prototypes are the target's, in the momentum encoder, and move; here they are the source's and stay. They
come from the start's bank, or from the batches of the source-only phase. The frozen encoder is the pretrained one where
the source was trained from one. A run that learns the source first needs such an encoder. Without prototypes pseudo labels would
confirm the teacher's errors, so such a run is source-only to its end.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from rsuda.core.errors import InputError
from rsuda.core.spelling import spell
from rsuda.learning.cells import CellEncoder
from rsuda.learning.losses import cross_entropy
from rsuda.learning.network import Decoder, SegmentationNetwork, resize
from rsuda.learning.source_bank import ClassPrototypes, SourceBank, own_encoder
from rsuda.methods.base import Method, NetworkBuilder, Weight
from rsuda.methods.blocks.hints import correct_by_hints
from rsuda.methods.blocks.mixing import class_mask, paste
from rsuda.methods.blocks.pseudo_labels import PseudoLabels, PseudoLabelWeights
from rsuda.methods.blocks.self_training import Jitter, KeepShare, TeacherDecay
from rsuda.methods.blocks.source_cells import LearntPrototypes
from rsuda.methods.blocks.teacher import Teacher
from rsuda.methods.blocks.witness import WitnessOptions, witness_builder


class SourceFree(Method):
    """Self-training on the target alone, with pseudo labels denoised by the source's prototypes."""

    class Options(WitnessOptions):
        pseudo_weight: Annotated[
            Weight, Field(description="weight of the pseudo labels; 0 leaves the start as it is")
        ] = 1.0
        prototype_weight: Annotated[
            Weight,
            Field(
                description="lambda, how far the cosine to the source's prototypes corrects the teacher; 0 turns it off"
            ),
        ] = 10.0
        keep_share: KeepShare = 0.5
        teacher_decay: TeacherDecay = 0.99
        jitter: Jitter = 0.2
        source_only_share: Annotated[
            float,
            Field(
                ge=0,
                le=1,
                description="share of a run with a source in which the network learns it; the source is not read after that",
            ),
        ] = 0.5
        mix: Annotated[bool, Field(description="paste classes of another target image onto each (ClassMix)")] = True
        freeze_classifier: Annotated[
            bool, Field(description="leave the last layer as the source trained it (SHOT)")
        ] = True

    off: ClassVar[dict[str, Any]] = {"pseudo_weight": 0.0}
    needs_source: ClassVar[bool] = False
    may_learn_source: ClassVar[bool] = True
    target_statistics: ClassVar[bool] = True
    summary: ClassVar[str] = "learns the source, then adapts to the target without it; or adapts a finished run"
    paper: ClassVar[str] = "after SHOT (Liang et al., ICML 2020) and ProDA (Zhang et al., CVPR 2021)"
    networks: ClassVar[str] = "network, teacher, frozen encoder"
    passes: ClassVar[tuple[float, float]] = (1, 3)
    options: Options

    def __init__(self, build: NetworkBuilder, options: Options) -> None:
        super().__init__(build, options)
        self.model = build.network_of_start()
        self.teacher = Teacher(self.model, options.teacher_decay, "target")
        self.trust = PseudoLabelWeights(build.arch.classes, "classes", 0.0, options.keep_share)
        self.cells: CellEncoder | None = None
        if options.prototype_weight > 0:
            self._add_prototypes()
        self._freeze_classifier(not build.has_source)

    def _add_prototypes(self) -> None:
        """Build the prototypes of a bank, or empty ones that learn the source, and the encoder of their cells."""
        build, classes = self.build, self.build.arch.classes
        witness = witness_builder(build, self.options)
        if self.options.witness and not build.has_source:
            raise InputError(
                f"{spell('witness', self.options.witness)} learns classes from a source, and the start keeps their means for "
                f"its own encoder only: leave it out, or pass {spell('source')}"
            )
        self.prototypes: ClassPrototypes | LearntPrototypes
        if build.has_source and witness.pretrained_features:
            self.cells = witness.cell_encoder()
            self.prototypes = LearntPrototypes(sum(self.cells.widths), classes)
        elif build.bank is not None:
            self.cells = _cell_encoder(build.bank, build, self.model)
            self.prototypes = ClassPrototypes(build.bank.means, build.bank.deviation, build.bank.cells)

    def _freeze_classifier(self, frozen: bool) -> None:
        for decoder in self._decoders() if self.options.freeze_classifier else []:
            decoder.classifier.requires_grad_(not frozen)

    def heads(self) -> list[nn.Module]:
        return [*self._decoders()]

    def _decoders(self) -> list[Decoder]:
        return [module for module in self.model.modules() if isinstance(module, Decoder)]

    @property
    def source_only_share(self) -> float:
        if not self.build.has_source:
            return 0.0
        return 1.0 if self.options.pseudo_weight == 0 or self.prototypes_missing else self.options.source_only_share

    @property
    def source_steps(self) -> range:
        return range(self.source_only_steps)

    @property
    def ends_on_target(self) -> bool:
        return self.build.has_source and self.source_only_share < 1

    @property
    def prototypes_missing(self) -> bool:
        """Whether a run that learns the source has no prototypes for its second phase, though it asks for them."""
        return self.build.has_source and self.options.prototype_weight > 0 and self.cells is None

    @property
    def notes(self) -> tuple[str, ...]:
        if not self.prototypes_missing:
            return ()
        return (
            "the run learns the source alone, since pseudo labels cannot be checked by the source's classes: that needs "
            "pretrained weights and one band, three, or two of infrared, red, green and blue, and the pair has "
            f"{', '.join(self.spec.bands)} with weights '{self.build.weights}'; for pseudo labels without the check pass "
            f"{spell('method.prototype_weight', 0)}",
        )

    def start_from(self, tensors: Mapping[str, Tensor]) -> None:
        super().start_from(tensors)
        if self.cells is not None and self.build.bank is not None and not self.build.bank.pretrained:
            self.cells.encoder.load_state_dict(own_encoder(self.model).state_dict())

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        if self.source_only:
            loss = self._source_loss(batch["source_image"], batch["source_label"])
            return loss, {"ce": loss}
        self._freeze_classifier(True)
        if self.options.pseudo_weight == 0:  # no parameter has a gradient, so that none decays
            return torch.zeros((), device=batch["key"].device, requires_grad=True), {}
        x_t, valid, key = batch["target_image"], batch["target_valid"], batch["key"]
        with torch.no_grad():
            logits = self.denoised(self.teacher.predict(x_t), x_t)
            pseudo = self.trust(correct_by_hints(logits, batch.get("target_hint"), self.options.hint_accuracy), valid)
        x_m, y_m, q_m = x_t, pseudo.label, pseudo.weight
        if self.options.mix:
            other = _partners(len(key)).to(x_t.device)
            pasted = class_mask(pseudo.label.where(valid, 255)[other], key)
            x_m, y_m, q_m = (paste(pasted, values[other], values) for values in (x_m, y_m, q_m))
        x_m = self.build.strong(x_m, key, self.options.jitter)
        terms = {"mix": cross_entropy(self.model(x_m), y_m, pixel_weight=q_m), "quality": pseudo.weight.mean()}
        return self.options.pseudo_weight * terms["mix"], terms

    def _source_loss(self, x_s: Tensor, y_s: Tensor) -> Tensor:
        """Compute CE(student(x_s), y_s); the prototypes learn the source."""
        if self.cells is not None and isinstance(self.prototypes, LearntPrototypes):
            self.prototypes.observe(self.cells, x_s, y_s, self.step)
        return cross_entropy(self.model(x_s), y_s)

    def denoised(self, logits: Tensor, image: Tensor) -> Tensor:
        """Compute the logits (B, K, H, W) of p'': log p + lambda cos; softmax removes what all classes share."""
        if self.cells is None:
            return logits
        return logits + self.options.prototype_weight * resize(self.prototypes(self.cells(image)), logits.shape[-2:])

    @torch.no_grad()
    def pseudo_labels_of(self, image: Tensor) -> PseudoLabels:
        """Make the denoised labels of images (B, bands, H, W), for pictures and curves."""
        return self.trust(self.denoised(self.teacher(image), image), update=False)

    def after_step(self) -> None:
        if self.source_only:
            self.teacher.restart()  # until the second phase it is the student
        if self.options.pseudo_weight > 0:
            self.teacher.update(self.model)


def _cell_encoder(bank: SourceBank, build: NetworkBuilder, model: SegmentationNetwork) -> CellEncoder:
    """Build the encoder that the bank's cells come from. Raises InputError where its weights are left out."""
    if not bank.pretrained:
        return CellEncoder(copy.deepcopy(own_encoder(model)))
    if build.weights == "none":
        raise InputError(
            f"the start's means of the source's classes need pretrained encoder weights, but {spell('weights')} is 'none': leave "
            f"{spell('weights')} out, or do without the means by {spell('method.prototype_weight', 0)}"
        )
    return build.cell_encoder()


def _partners(size: int) -> Tensor:
    """Choose the image that each of ``size`` is mixed with: 1 0 3 2 …; the last of an odd number is its own partner.

    Neighbours stay together when processes share out a batch.
    """
    numbers = torch.arange(size)
    return torch.where(numbers ^ 1 < size, numbers ^ 1, numbers)
