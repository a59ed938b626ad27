"""Plain transformers become pyramids, timm's files fit, frozen weights stay, adapters learn, and the rest is refused."""

import pytest
import timm
import torch
from method_runs import Interrupt, InterruptionError, run_settings
from safetensors.torch import save_file

from rsuda.core.errors import InputError
from rsuda.core.spec import IMAGENET_MEAN, IMAGENET_STD
from rsuda.learning.encoders.adapters import AdaptedLinear, add_adapters
from rsuda.learning.encoders.build import check_encoder, encoder_notes
from rsuda.learning.encoders.frozen import freeze_encoders
from rsuda.learning.encoders.licences import licence_note
from rsuda.learning.network import Architecture, Network, build_encoder
from rsuda.methods.blocks.teacher import Teacher
from rsuda.runs.weights import load_run
from rsuda.training.build import check_run
from rsuda.training.train import train

TINY = "vit_tiny_patch16_224"


@pytest.fixture(scope="session")
def vit_file(tmp_path_factory):
    """A file of timm's own names with a classifier, as timm's hub has them."""
    torch.manual_seed(0)
    model = timm.create_model(TINY)
    file = tmp_path_factory.mktemp("vit") / "model.safetensors"
    save_file(model.state_dict(), file)
    return file


def vit(bands=3, weights="none", **fields):
    return build_encoder(Architecture(f"tu-{TINY}", "segformer", 3, bands, **fields), str(weights)).eval()


def standardised(image, mean=IMAGENET_MEAN, std=IMAGENET_STD):
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (mean, std))
    return (image - mean) / std


def normalised(tokens):
    return torch.nn.functional.layer_norm(tokens.permute(0, 2, 3, 1), (tokens.shape[1],)).permute(0, 3, 1, 2)


def test_a_pyramid_holds_what_timms_blocks_say(vit_file):
    """At the size of pretraining the level of stride 16 is the block's output, normalised; the others are resized."""
    model = timm.create_model(TINY)
    model.load_state_dict(timm.models.load_state_dict(str(vit_file)))
    pixels = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        blocks = model.eval().forward_intermediates(
            (pixels - 0.5) / 0.5, indices=[2, 5, 8, 11], intermediates_only=True
        )
        pyramid = vit(weights=vit_file)(standardised(pixels))
    assert [level.shape[-1] for level in pyramid] == [224, 112, 56, 28, 14, 7]
    torch.testing.assert_close(pyramid[4], normalised(blocks[2]), rtol=1e-3, atol=1e-3)
    finer = torch.nn.functional.interpolate(normalised(blocks[1]), scale_factor=2.0, mode="bilinear")
    torch.testing.assert_close(pyramid[3], finer, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("form", ["bare", "nested", "model.", "encoder.", "rsuda"])
def test_a_file_fits_whatever_wrote_it(vit_file, form, tmp_path):
    tensors = timm.models.load_state_dict(str(vit_file))
    expected = vit(weights=vit_file)
    if form == "nested":
        tensors = {"epoch": 3, "state_dict": tensors}
    elif form == "rsuda":
        tensors = expected.state_dict()
    elif form != "bare":
        tensors = {f"{form}{name}": values for name, values in tensors.items()}
    torch.save(tensors, tmp_path / "weights.pth")
    encoder = vit(weights=tmp_path / "weights.pth")
    for key, values in expected.state_dict().items():
        assert torch.equal(encoder.state_dict()[key], values), key
    note = " ".join(encoder_notes(encoder))
    assert ("4 of 152 tensors" in note and "head.weight" in note) if form != "rsuda" else not note


@pytest.mark.parametrize("bands", [1, 2, 4, 13])
def test_other_bands_repeat_the_filters(vit_file, bands):
    three, many = (vit(n, vit_file).model.patch_embed.proj.weight for n in (3, bands))
    repeated = three.sum(1, keepdim=True) if bands == 1 else three[:, torch.arange(bands) % 3] * (3 / bands)
    torch.testing.assert_close(many, repeated, rtol=1e-4, atol=1e-5)


def test_a_file_for_other_bands_is_refused(vit_file, tmp_path):
    tensors = timm.models.load_state_dict(str(vit_file))
    tensors["patch_embed.proj.weight"] = tensors["patch_embed.proj.weight"][:, [0, 1, 2, 0, 1, 2]]
    torch.save(tensors, tmp_path / "six.pth")
    assert vit(6, tmp_path / "six.pth").model.patch_embed.proj.weight.shape[1] == 6
    with pytest.raises(InputError, match=r"six\.pth is for 6 bands, and the pair has 3"):
        vit(3, tmp_path / "six.pth")


def test_a_file_of_thirteen_bands_fits_a_pair_of_thirteen(tmp_path):
    """Files of torchgeo name their tensors as timm does."""
    torch.save(timm.create_model("resnet18", in_chans=13).state_dict(), tmp_path / "sentinel.pth")
    encoder = build_encoder(Architecture("resnet18", "segformer", 3, 13), str(tmp_path / "sentinel.pth"))
    assert encoder.conv1.weight.shape[1] == 13
    assert "fc.weight" in " ".join(encoder_notes(encoder))
    with pytest.raises(InputError, match="is for 13 bands, and the pair has 4"):
        build_encoder(Architecture("resnet18", "segformer", 3, 4), str(tmp_path / "sentinel.pth"))


def test_weights_of_a_series_give_those_of_one_image(vit_file, tmp_path):
    """Prithvi's patches are of several dates; the positions of one image are those of the first."""
    tensors = timm.models.load_state_dict(str(vit_file))
    patches, positions = tensors["patch_embed.proj.weight"], tensors["pos_embed"]
    tensors["patch_embed.proj.weight"] = patches[:, :, None]
    tensors["pos_embed"] = torch.cat([positions, positions[:, 1:] + 1, positions[:, 1:] + 2], 1)
    torch.save({f"encoder.{name}": values for name, values in tensors.items()}, tmp_path / "series.pt")
    encoder, plain = vit(weights=tmp_path / "series.pt"), vit(weights=vit_file)
    assert torch.equal(encoder.model.pos_embed, plain.model.pos_embed)
    assert torch.equal(encoder.model.patch_embed.proj.weight, plain.model.patch_embed.proj.weight)


def test_a_projection_behind_a_convolutional_stem_keeps_its_weights(tmp_path):
    """It reads features and no bands, so the statistics of bands are none of its own."""
    model = timm.create_model("vit_tiny_r_s16_p8_224")
    torch.save(model.state_dict(), tmp_path / "hybrid.pt")
    encoder = build_encoder(Architecture("tu-vit_tiny_r_s16_p8_224", "segformer", 3, 3), str(tmp_path / "hybrid.pt"))
    assert torch.equal(encoder.model.patch_embed.proj.weight, model.patch_embed.proj.weight)
    assert torch.equal(encoder.model.patch_embed.proj.bias, model.patch_embed.proj.bias)


@pytest.mark.parametrize(
    ("name", "stride", "sentence"),
    [
        ("tu-beit_base_patch16_224", 32, "made for images of one size"),
        ("tu-swin_tiny_patch4_window7_224", 16, "pass settings=.*network.output_stride.: 32"),
        ("tu-crossvit_9_240", 32, "choose another `encoder`"),
        ("tu-naflexvit_base_patch16_gap", 32, "no convolution of the bands.*choose another `encoder`"),
        ("tu-tresnet_m", 32, "no convolution of the bands"),
        ("tu-vit_small_patch16_dinov9", 32, "unknown encoder"),
    ],
)
def test_what_cannot_be_an_encoder_is_refused(name, stride, sentence):
    with pytest.raises(InputError, match=sentence):
        check_encoder(name, stride)


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("dinov3_vits16", "tu-vit_small_patch16_dinov3"),
        ("dinov2_vitb14", "tu-vit_base_patch14_dinov2"),
        ("facebook/dinov3-vits16-pretrain-lvd1689m", "tu-vit_small_patch16_dinov3.lvd1689m"),
        ("facebook/dinov2-with-registers-small", "tu-vit_small_patch14_reg4_dinov2"),
        ("timm/vit_small_patch16_dinov3.lvd1689m", "tu-vit_small_patch16_dinov3.lvd1689m"),
        ("hf-hub:timm/convnext_tiny.fb_in1k", "tu-convnext_tiny.fb_in1k"),
        ("convnext_tiny", "tu-convnext_tiny"),
        ("swin_t", "tu-swin_tiny_patch4_window7_224"),
        ("vit_b_16", "tu-vit_base_patch16_224"),
        ("ViT-B/16", "tu-vit_base_patch16_224"),
        ("openai/clip-vit-base-patch16", "tu-vit_base_patch16_clip_224"),
        ("mobilenet_v3_small", "tu-mobilenetv3_small_100"),
        ("ResNet50", "resnet50"),
        ("TU-ResNet18", "tu-resnet18"),
        ("resnet59", "resnet50"),
        ("nvidia/mit-b0", "mit_b0"),
        ("segformer-b2", "mit_b2"),
    ],
)
def test_names_of_other_libraries_lead_to_the_encoder_that_is_meant(typed, near):
    with pytest.raises(InputError, match=rf"unknown encoder '.*': did you mean '{near}'\?"):
        check_encoder(typed)
    check_encoder(near)


def test_a_name_unlike_all_gets_no_suggestion():
    with pytest.raises(InputError, match="unknown encoder 'banana': known are tu-NAME of timm"):
        check_encoder("banana")


def test_weights_of_patches_of_14_px_become_those_of_16(tmp_path):
    """A smooth image gives the tokens that it gives at 14 px a patch, each of a patch of the same content."""
    torch.manual_seed(0)
    name = "vit_pwee_patch16_reg1_gap_256"
    small = timm.create_model(name, patch_size=14, img_size=140)
    torch.nn.init.normal_(small.patch_embed.proj.weight, std=0.05)
    torch.save(small.state_dict(), tmp_path / "small.pth")
    encoder = build_encoder(Architecture(f"tu-{name}", "segformer", 2), str(tmp_path / "small.pth"))
    mean, std = (small.pretrained_cfg[key] for key in ("mean", "std"))
    ramp = torch.linspace(0, 1, 160).view(1, 1, 1, 160).expand(1, 3, 160, 160)
    with torch.no_grad():
        shrunk = torch.nn.functional.interpolate(ramp, (140, 140), mode="bilinear")
        at_14 = small.patch_embed.proj(standardised(shrunk, mean, std))
        at_16 = encoder.model.patch_embed.proj(standardised(ramp))
    torch.testing.assert_close(at_16, at_14, rtol=0.05, atol=0.05)


def test_licences_are_named():
    assert "nothing commercial" in licence_note("mit_b0")
    assert "DINOv3 licence" in licence_note("tu-vit_small_patch16_dinov3")
    assert "Apache-2.0" in licence_note(f"tu-{TINY}") and "BSD-3" in licence_note("mobilenet_v2")


def test_adapters_change_nothing_at_first_and_are_all_that_trains(vit_file):
    arch = Architecture(f"tu-{TINY}", "segformer", 3, channels=16, adapter_rank=4)
    network = Network(arch, str(vit_file))
    freeze_encoders(network)
    image = torch.rand(2, 3, 64, 64)
    assert torch.allclose(network.eval().encoder(image)[-1], vit(weights=vit_file)(image)[-1], atol=1e-5)
    trained = {n for n, p in network.encoder.named_parameters() if p.requires_grad}
    assert trained and all("lora_" in name or name.startswith("finer.") for name in trained)
    assert sum(isinstance(m, AdaptedLinear) for m in network.modules()) == 48
    network(image).logits.square().mean().backward()
    before = {n: p.clone() for n, p in network.named_parameters()}
    torch.optim.SGD([p for p in network.parameters() if p.requires_grad], 1.0).step()
    moved = {n for n, p in network.named_parameters() if not torch.equal(p, before[n])}
    assert any("lora_b" in name for name in moved) and not any("qkv.weight" in name for name in moved)


def test_a_convolutional_encoder_takes_no_adapters():
    with pytest.raises(InputError, match="no linear layers"):
        add_adapters(build_encoder(Architecture("resnet18", "segformer", 2)), 4, "resnet18")


def test_a_teacher_shares_frozen_weights_and_averages_the_rest(vit_file):
    network = Network(Architecture(f"tu-{TINY}", "segformer", 3, channels=16), str(vit_file))
    freeze_encoders(network)
    teacher = Teacher(network)
    pairs = list(zip(network.parameters(), teacher.module.parameters(), strict=True))
    assert all((one is other) == (not one.requires_grad) for one, other in pairs)
    frozen = network.encoder.model.pos_embed.clone()
    with torch.no_grad():
        network.decoder.classifier.weight.add_(1)
    teacher.update(network)
    assert torch.equal(network.encoder.model.pos_embed, frozen)
    assert not torch.equal(teacher.module.decoder.classifier.weight, network.decoder.classifier.weight)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "changes"), [("source-only", {"frozen": True}), ("st-dasegnet", {"adapter_rank": 2})]
)
def test_a_frozen_run_resumes_to_the_bit_and_its_encoder_stays(two_cities, vit_file, method, changes, tmp_path):
    network = {"encoder": f"tu-{TINY}", "output_stride": 16, "crop": 128, "weights": str(vit_file)}
    settings = run_settings(
        two_cities, method, **network, **{f"network.{name}": value for name, value in changes.items()}
    )
    train(settings, tmp_path / "whole", quiet=True)
    with pytest.raises(InterruptionError):
        train(settings, tmp_path / "cut", quiet=True, callbacks=[Interrupt()])
    train(settings, tmp_path / "cut", resume=True, quiet=True)
    one, other = (load_run(tmp_path / name).model.state_dict() for name in ("whole", "cut"))
    assert all(torch.equal(one[key], other[key]) for key in one)
    pretrained = vit(weights=vit_file).state_dict()
    stayed = {key: one[key] for key in one if key.endswith("blocks.3.attn.qkv.weight")}
    assert stayed and all(torch.equal(v, pretrained["model.blocks.3.attn.qkv.weight"]) for v in stayed.values())


def test_an_encoder_that_would_never_learn_is_refused(two_cities):
    with pytest.raises(InputError, match=r"network\.frozen leaves the encoder as it is"):
        check_run(run_settings(two_cities, "source-only", **{"network.frozen": True}))


def test_a_file_fits_whose_first_layer_timms_list_of_features_names_anew(tmp_path):
    """`stem.in_conv` is `stem_in_conv` there."""
    torch.manual_seed(0)
    model = timm.create_model("efficientvit_b0").eval()
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, tmp_path / "weights.safetensors")
    encoder = build_encoder(
        Architecture("tu-efficientvit_b0", "segformer", 3, 3), str(tmp_path / "weights.safetensors")
    )
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(encoder.eval()(image)[-1], model.forward_features(image), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [("tf_efficientnet_lite0", 0.5, 0.5), ("mobilevitv2_050", 0.0, 1.0), ("resnet10t", None, None)],
)
def test_a_convolutional_encoder_takes_imagenets_statistics_whatever_it_was_trained_with(name, mean, std, tmp_path):
    torch.manual_seed(0)
    model = timm.create_model(name)
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    encoder = build_encoder(Architecture(f"tu-{name}", "segformer", 3), str(tmp_path / "weights.pth")).eval()
    pixels = torch.rand(1, 3, 64, 64)
    own = standardised(pixels) if mean is None else (pixels - mean) / std
    with torch.no_grad():
        level = encoder(standardised(pixels))[1]
        encoder.load_state_dict({f"model.{k}": v for k, v in model.state_dict().items()}, strict=False)
        expected = encoder(own)[1]
    inner = (..., slice(4, -4), slice(4, -4))  # a convolution pads with another grey
    torch.testing.assert_close(level[inner], expected[inner], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), ([0.1] * 13, [0.2] * 13)])
def test_a_file_may_say_the_statistics_of_its_images(mean, std, tmp_path):
    arch = Architecture("resnet18", "segformer", 3, 13)
    torch.manual_seed(0)
    plain = build_encoder(arch).eval()
    torch.save({"state_dict": plain.state_dict(), "mean": mean, "std": std}, tmp_path / "sensor.pth")
    encoder = build_encoder(arch, str(tmp_path / "sensor.pth")).eval()
    pixels = torch.rand(1, 13, 64, 64)
    repeated = [torch.tensor(v).repeat(5)[:13].view(1, -1, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD)]
    own = (pixels - (mean if mean == 0 else 0.1)) / (std if std == 1 else 0.2)
    with torch.no_grad():
        level, expected = encoder((pixels - repeated[0]) / repeated[1])[1], plain(own)[1]
    torch.testing.assert_close(level[..., 4:-4, 4:-4], expected[..., 4:-4, 4:-4], rtol=1e-3, atol=1e-3)


def test_statistics_that_are_none_are_refused(tmp_path):
    torch.save({"state_dict": {"conv1.weight": torch.zeros(1, 3, 1, 1)}, "mean": 0.5, "std": 0.0}, tmp_path / "a.pth")
    with pytest.raises(InputError, match="'std' above 0"):
        build_encoder(Architecture("resnet18", "segformer", 3), str(tmp_path / "a.pth"))
