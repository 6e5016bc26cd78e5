"""Tasks of the compression benchmark: pictures of sound, augmentation, splits."""

import io
import zipfile

import numpy as np
import pytest
from scipy.io import wavfile

from benchmarks.compression import tasks_image, tasks_motion, tasks_sound, tasks_text
from benchmarks.compression.sizes import SIZES
from benchmarks.compression.tasks import Rows, Split, channels, get_task
from profiler.errors import DataError


def rows(clusters, units=None):
    clusters = np.asarray(clusters)
    return Rows(np.zeros((len(clusters), 2), np.float32), np.zeros(len(clusters), np.int64), clusters,
                clusters if units is None else np.asarray(units))  # fmt: skip


def test_every_task_is_found():
    for size in SIZES.values():
        for name in size.plans:
            assert get_task(name).name == name


def test_what_straddles_a_split_is_refused():
    Split(rows([1, 1]), rows([2]), rows([3])).check(by_cluster=True)
    with pytest.raises(DataError, match="unit 1 is in the training part and in the test part"):
        Split(rows([1, 1]), rows([2]), rows([1])).check(by_cluster=True)
    apart = Split(rows([1], ["a"]), rows([1], ["b"]), rows([2], ["c"]))
    apart.check(by_cluster=False)
    with pytest.raises(DataError, match="cluster 1"):
        apart.check(by_cluster=True)
    with pytest.raises(DataError, match="no rows"):
        Split(rows([]), rows([1]), rows([2])).check(by_cluster=False)


def test_missing_data_is_named(tmp_path):
    with pytest.raises(DataError, match=r"motion\.npz does not exist.*--data"):
        get_task("motion").split(tmp_path, tmp_path, 0)


def test_widths_are_multiples_of_four():
    assert [channels(w, 64) for w in (0.25, 0.5, 1, 1.5)] == [16, 32, 64, 96]
    assert channels(0.01, 32) == 4


def test_mel_filters_are_triangles_that_cover_the_range():
    filters = tasks_sound.mel_filters()
    assert filters.shape == (32, 257)
    assert filters.min() >= 0
    assert filters.max() <= 1
    peaks = filters.argmax(axis=1)
    assert (np.diff(peaks) >= 0).all()
    assert (filters.max(axis=1) > 0.3).all(), "a band between two bins of the transform hears nothing"


def test_a_tone_lights_up_its_band_at_any_loudness():
    at = np.arange(8000) / 8000
    tone = np.sin(2 * np.pi * 1000 * at)
    picture = tasks_sound.log_mel(tone)
    assert picture.shape == (32, 32, 1)
    assert np.allclose(picture, tasks_sound.log_mel(1000 * tone), atol=1e-3)
    edges = 700 * (
        10 ** (np.linspace(2595 * np.log10(1 + 60 / 700), 2595 * np.log10(1 + 4000 / 700), 34) / 2595) - 1
    )
    loudest = int(picture[16, :, 0].argmax())
    assert edges[loudest] < 1000 < edges[loudest + 2]


def test_short_recordings_are_padded():
    assert np.isfinite(tasks_sound.log_mel(np.ones(300))).all()
    assert np.isfinite(tasks_sound.log_mel(np.zeros(9000))).all()


def test_pictures_are_read_between_their_rows_and_no_further_than_their_edges():
    line = np.array([1.0, 3.0, 5.0])
    read = tasks_sound._between(np.array([[0.0, 1.0, 1.5, -2.0, 9.0]]), 3)
    assert np.allclose(read[0] @ line, [1.0, 3.0, 4.0, 1.0, 5.0])


@pytest.mark.parametrize("module", [tasks_image, tasks_sound, tasks_motion, tasks_text])
def test_augmenting_keeps_shape_and_type_and_depends_on_the_generator(module):
    shape = {
        tasks_image: (32, 32, 3),
        tasks_sound: (32, 32, 1),
        tasks_motion: (64, 12, 1),
        tasks_text: (16,),
    }[module]
    x = np.random.default_rng(0).standard_normal((5, *shape)).astype(np.float32)
    one, same, other = (module.augment(x, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one.shape == x.shape
    assert one.dtype == np.float32
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_images_are_halved_and_the_colour_below_is_what_is_asked_for():
    x = np.zeros((1, 32, 32, 3), np.float32)
    x[0, :2, :2, 0] = [[1, 2], [3, 6]]
    x[0, 16:, :, 2] = 5
    whole = Rows(x, np.array([7]), np.array([0]), np.array([0]))
    small = tasks_image._halved(whole)
    assert small.x.shape == (1, 16, 16, 3)
    assert small.x[0, 0, 0, 0] == 3
    assert small.y.tolist() == [7]
    upper = tasks_image._upper(whole)
    assert upper.x.shape == (1, 8, 16, 3)
    assert upper.y.tolist() == [[0, 0, 5]]
    assert upper.x[0, :, :, 2].max() == 0


def test_pieces_of_captions_are_numbers_of_characters_and_short_ones_are_padded():
    generator = np.random.default_rng(0)
    short, long = tasks_text.pieces(["Zoë", "ab" * 40], generator)
    assert short.tolist() == [26, 15, tasks_text.OTHER] + [0] * 13
    assert set(long.tolist()) == {1, 2}


def archive(path, speakers="abcd"):
    with zipfile.ZipFile(path, "w") as stored:
        for speaker in speakers:
            for digit in (0, 1):
                content = io.BytesIO()
                wavfile.write(
                    content, 8000, np.random.default_rng(digit).integers(-99, 99, 4000).astype(np.int16)
                )
                stored.writestr(f"recordings/{digit}_{speaker}_0.wav", content.getvalue())


def test_speakers_take_turns_at_being_the_test(tmp_path):
    archive(tmp_path / "fsdd.zip")
    splits = [get_task("sound").split(tmp_path, tmp_path, seed) for seed in range(4)]
    assert [set(s.test.cluster) for s in splits] == [{"a"}, {"b"}, {"c"}, {"d"}]
    assert [set(s.validation.cluster) for s in splits] == [{"c"}, {"d"}, {"a"}, {"b"}]
    assert list(splits[0].test.y) == [0, 1]
    assert list(splits[0].validation.y) == [0, 1] * (1 + tasks_sound.VOICES)
    assert len(set(splits[0].validation.unit)) == 2
    assert (tmp_path / "data" / "fsdd.npz").exists()


def test_subjects_are_held_out_whole(tmp_path):
    generator = np.random.default_rng(0)
    arrays = {}
    for part, subjects in (("train", range(1, 9)), ("test", range(20, 23))):
        subject = np.repeat(list(subjects), 4)
        arrays |= {
            f"x_{part}": generator.standard_normal((len(subject), 64, 12)).astype(np.float32),
            f"y_{part}": np.arange(len(subject)) % 5,
            f"subject_{part}": subject,
            f"execution_{part}": np.tile([1, 1, 2, 2], len(list(subjects))),
        }
    np.savez(tmp_path / "motion.npz", **arrays)
    split = get_task("motion").split(tmp_path, tmp_path, 0)
    assert len(set(split.validation.cluster)) == tasks_motion.VALIDATION_SUBJECTS
    assert set(split.test.cluster) == {20, 21, 22}
    assert split.train.x.shape == (16, 64, 12, 1)
    assert np.allclose(split.train.x.mean(axis=(0, 1)), 0, atol=1e-5), "scaled by training subjects alone"
    assert len(set(split.train.unit)) == 2 * len(set(split.train.cluster))


@pytest.mark.shared_data
def test_real_motion_data(shared_data, tmp_path):
    split = get_task("motion").split(shared_data / "tasks", tmp_path, 1)
    assert len(split.train) + len(split.validation) == 4081
    assert len(split.test) == 1879
