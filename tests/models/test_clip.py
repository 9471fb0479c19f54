import json
import shutil
from dataclasses import replace

import open_clip
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from zeroseg.data.batch import Batch
from zeroseg.data.views import ViewSet, cut_views
from zeroseg.errors import InputError
from zeroseg.models.clip import CLIP, EMBEDDED, CLIPConfig
from zeroseg.models.prompts import BARE, SIMPLE, prompts
from zeroseg.models.vit import ViT
from zeroseg.models.zeroseg import ZeroSeg, ZeroSegConfig
from zeroseg.store.shard_cache import ShardCache
from zeroseg.training.dense_target import DenseTarget, DenseTeacher
from zeroseg.training.objective import Objective
from zeroseg.training.objectives import DistillationObjective, ViewComposition, ZeroSegPaper
from zeroseg.training.teacher import OnlineTeacher, Teacher, ViewEncoder, open_teacher

SCENES = EMBEDDED["zeroseg-scenes"]
VIEWS = ViewSet(grids=(1, 2))


@pytest.fixture(scope="module")
def clip():
    return CLIP(CLIPConfig(architecture="zeroseg-scenes", weights="", precision="fp32"))


def pictures(batch=3, side=48, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, 3, side, side), generator=generator) / 255


def batch_of(keys, images):
    return Batch(tuple(keys), (images * 255).round().byte())


def registered(folder, model_config, name):
    """A Python file that makes `name` known to open_clip."""
    (folder / f"{name}.json").write_text(json.dumps(model_config))
    file = folder / "register.py"
    file.write_text(
        "from pathlib import Path\n"
        "import open_clip\n"
        f"open_clip.add_model_config(Path(__file__).parent / '{name}.json')\n"
    )
    return str(file)


def test_embeddings_are_unit_vectors_of_the_models_width(clip):
    assert (clip.embed_dim, clip.image_size) == (64, 48)
    for embeddings in (clip.encode_image(pictures()), clip.encode_text(["a cat", "two dogs"])):
        assert embeddings.dtype == torch.float32
        assert embeddings.shape[1] == 64
        torch.testing.assert_close(embeddings.norm(dim=-1), torch.ones(len(embeddings)))


def test_the_teacher_is_frozen_and_in_eval_mode(clip):
    assert not any(parameter.requires_grad for parameter in clip.parameters())
    assert not any(module.training for module in clip.model.modules())
    assert not clip.encode_image(pictures().requires_grad_()).requires_grad


def test_image_embeddings_are_open_clips_own(clip):
    normalised = (pictures() - 0.5) / 0.25
    with torch.no_grad():
        expected = clip.model.encode_image(normalised, normalize=True)
    torch.testing.assert_close(clip.encode_image(pictures()), expected)


def test_text_embeddings_are_open_clips_own(clip):
    texts = ["a photo of a cat.", "grass"]
    tokens = open_clip.get_tokenizer(f"local-dir:{SCENES}")(texts)
    with torch.no_grad():
        expected = clip.model.encode_text(tokens, normalize=True)
    torch.testing.assert_close(clip.encode_text(texts), expected)


def test_autocast_does_not_reach_the_teacher(clip):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = clip.encode_image(pictures()), clip.encode_text(["sky"])
    assert torch.equal(inside[0], clip.encode_image(pictures()))
    assert torch.equal(inside[1], clip.encode_text(["sky"]))


def test_a_class_without_synonyms_and_one_template_is_its_sentence(clip):
    for names in (["cat", "grass", "sky"], ["sky", "cat", "grass"]):
        sentences = clip.encode_text([f"a photo of a {name}." for name in names])
        torch.testing.assert_close(clip.class_embeddings(names, SIMPLE), sentences)


def test_synonyms_and_templates_are_averaged_into_one_unit_vector(clip):
    got = clip.class_embeddings(["grass, lawn", "sky"], BARE)
    sentences = [t.format(word) for word in ("grass", "lawn") for t in BARE]
    mean = sum(clip.encode_text([sentence])[0] for sentence in sentences) / 6
    torch.testing.assert_close(got[0], mean / mean.norm())
    torch.testing.assert_close(got.norm(dim=-1), torch.ones(2))


def test_prompts_go_through_synonyms_then_templates():
    assert prompts("cat, kitten,", ("a {}", "{}")) == ["a cat", "cat", "a kitten", "kitten"]


def test_an_unknown_architecture_is_named():
    with pytest.raises(InputError, match="ViT-Nonsense"):
        CLIP(CLIPConfig(architecture="ViT-Nonsense"))


@pytest.mark.parametrize(
    ("architecture", "weights", "named"),
    [
        ("ViT-B-32", "", "ViT-B-32"),
        ("ViT-B-32", "no_such_tag", "no_such_tag"),
        ("ViT-B-32", "/nowhere/weights.pt", "/nowhere/weights.pt"),
        ("local-dir:/nowhere/teacher", "", "/nowhere/teacher"),
    ],
)
def test_missing_weights_are_named(architecture, weights, named):
    with pytest.raises(InputError, match=named):
        CLIP(CLIPConfig(architecture=architecture, weights=weights))


def test_a_folder_without_weights_is_refused(tmp_path):
    shutil.copy(SCENES / "open_clip_config.json", tmp_path)
    with pytest.raises(InputError, match="cannot take the weights"):
        CLIP(CLIPConfig(architecture=f"local-dir:{tmp_path}", weights=""))


@pytest.fixture
def custom(tmp_path):
    """Config of an architecture that a file registers, with the scenes teacher's shape."""
    name = "zeroseg-test-custom"
    description = json.loads((SCENES / "open_clip_config.json").read_text())
    register = registered(tmp_path, description["model_cfg"], name)
    pixel = {key: tuple(description["preprocess_cfg"][key]) for key in ("mean", "std")}

    def config(weights):
        return CLIPConfig(
            architecture=name, weights=str(weights), register=register, precision="fp32", **pixel
        )

    return config


def test_weights_of_another_model_are_named(custom, tmp_path):
    weights = tmp_path / "other.pt"
    torch.save(torch.nn.Linear(3, 2).state_dict(), weights)
    with pytest.raises(InputError, match=r"zeroseg-test-custom.*other\.pt"):
        CLIP(custom(weights))


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_a_registered_architecture_loads_weights_from_a_file(clip, custom, tmp_path, suffix):
    weights = tmp_path / f"teacher.{suffix}"
    source = SCENES / "open_clip_model.safetensors"
    if suffix == "pt":
        torch.save(load_file(source), weights)
    else:
        shutil.copy(source, weights)
    loaded = CLIP(custom(weights))
    assert torch.equal(loaded.encode_image(pictures()), clip.encode_image(pictures()))
    assert torch.equal(loaded.encode_text(["a cat"]), clip.encode_text(["a cat"]))


def test_bfloat16_points_where_float32_does(clip):
    coarse = CLIP(CLIPConfig(architecture="zeroseg-scenes", weights="", precision="bf16"))
    assert next(coarse.model.visual.parameters()).dtype == torch.bfloat16
    fine, rough = clip.encode_image(pictures()), coarse.encode_image(pictures())
    assert rough.dtype == torch.float32
    assert F.cosine_similarity(fine, rough).min() > 0.99


def test_teacher_embeds_each_view_of_each_image(clip):
    got = ViewEncoder(clip, VIEWS)(pictures())
    views = cut_views(pictures(), VIEWS, 48)
    expected = torch.stack([clip.encode_image(image_views) for image_views in views])
    assert got.shape == (3, 5, 64)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("chunk", [1, 4, 15])
def test_chunks_do_not_change_the_embeddings(clip, chunk):
    got = ViewEncoder(clip, VIEWS, chunk=chunk)(pictures())
    torch.testing.assert_close(got, ViewEncoder(clip, VIEWS)(pictures()))


def test_views_are_cut_from_the_sharper_crop_where_there_is_one(clip):
    config = OnlineTeacher(clip=clip.config, views=VIEWS)
    teacher = open_teacher(config, ShardCache(), torch.device("cpu"))
    sharp = (pictures(side=96) * 255).round().byte()
    batch = replace(batch_of("abc", pictures()), view_images=sharp)
    assert torch.equal(teacher.embed(batch), ViewEncoder(clip, VIEWS)(sharp.float() / 255))


def test_the_digest_of_the_weights_tells_one_value_from_another(clip, tmp_path):
    folder = tmp_path / "teacher"
    shutil.copytree(SCENES, folder)
    name = CLIPConfig(architecture=f"local-dir:{folder}", weights="")
    assert CLIP(name).weights_sha256 == clip.weights_sha256
    (file,) = folder.glob("*.safetensors")
    weights = load_file(file)
    weights["visual.proj"][0, 0] += 1e-3
    save_file(weights, file)
    assert CLIP(name).weights_sha256 != clip.weights_sha256


PAPER = {"multi_scale", "matching", "reconstruction"}
OURS = {"composition", "patches", "agreement", "multi_scale", "reconstruction"}
EVERY_TERM = ViewComposition(dense_weight=1.0, relations_weight=1.0)


@pytest.mark.parametrize(
    ("terms", "names"),
    [
        (ZeroSegPaper(), PAPER),
        (ViewComposition(), OURS),
        (EVERY_TERM, OURS | {"dense", "relations"}),
    ],
)
def test_distillation_trains_the_student_and_keeps_the_teacher_out_of_it(clip, terms, names):
    torch.manual_seed(0)
    sizes = {"trunk": ViT(width=16, depth=1, num_heads=2), "image_size": 48, "embed_dim": 64}
    decoder = {"decoder_depth": 1, "decoder_width": 16, "decoder_heads": 2}
    student = ZeroSeg(ZeroSegConfig(**sizes, **decoder, patch_embeddings=True))
    keys = set(student.state_dict())
    encode = ViewEncoder(clip, VIEWS)
    dense = DenseTeacher(clip, DenseTarget(), VIEWS) if terms == EVERY_TERM else None
    teacher = Teacher(clip.config, VIEWS, 64, lambda batch: encode(batch.pixels), dense=dense)
    objective = DistillationObjective(teacher, terms, 16)
    assert isinstance(objective, Objective)
    losses, figures = objective(student, batch_of(("a", "b", "c"), pictures()), 0)
    sum(losses.values()).backward()
    assert set(losses) == names
    grouping = {f"grouping/{name}" for name in ("segments_used", "largest_share", "entropy")}
    assert set(figures) == grouping | {f"nearest/{n}x{n}" for n in VIEWS.grids if n > 1}
    assert all(value.shape == () and not value.requires_grad for value in figures.values())
    assert set(student.state_dict()) == keys
    assert all(parameter.grad is None for parameter in clip.parameters())
    assert not isinstance(objective, torch.nn.Module)
