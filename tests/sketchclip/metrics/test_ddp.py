"""Real processes measure what one does, whichever images each of them has seen."""

from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torchmetrics import MetricCollection

from sketchclip.errors import SketchClipError
from sketchclip.metrics import CategoryRetrieval, InstanceRetrieval, functional

WORLDS = (1, 2, 3)
SIZES = {"query": 13, "gallery": 29}


def images(side):
    """The dataset of a side, the same in every process."""
    generator = torch.Generator().manual_seed(len(side))
    count = SIZES[side]
    # Sketch i shows photo i; coarse numbers make ties, which the order of the dataset breaks.
    states = torch.randint(-2, 3, (count, 3), generator=generator) + 0.25
    return states, torch.arange(count) % 3, torch.arange(count), torch.arange(count)


def padded(rank, world, count):
    """What a distributed sampler gives a rank: equal shares, the first images repeated."""
    each = -(-count // world)
    return [i % count for i in range(rank, each * world, world)]


def uneven(rank, world, count):
    """Most images in the last process."""
    edges = [0, *(2 * i + 1 for i in range(world - 1)), count]
    return range(edges[rank], edges[rank + 1])


def only(owner):
    """Every image in one process, none elsewhere."""
    return lambda rank, world, count: range(count) if rank == min(owner, world - 1) else []


# How the images of each side are shared among processes.
SHARES = {
    "padded": {"query": padded, "gallery": padded},
    "uneven": {"query": uneven, "gallery": uneven},
    "no sketches on some": {"query": only(0), "gallery": padded},
    "no photos on some": {"query": uneven, "gallery": only(1)},
    "nothing on some": {"query": only(2), "gallery": only(2)},
    "one side each": {"query": only(0), "gallery": only(1)},
}


def options(**more):
    return {"precision_k": [1, 5], "map_k": [4], "accuracy_k": [1, 2], **more}


def feed(metric, shares, rank=0, world=1, half=False):
    """Update with this process's share, in batches of four."""
    for side, share in shares.items():
        rows = torch.tensor(list(share(rank, world, SIZES[side])), dtype=torch.long)
        states, labels, index, instances = (x[rows] for x in images(side))
        for batch in torch.arange(len(rows)).split(4)[: 1 if half else None]:
            if len(batch):
                given = (x[batch] for x in (states, labels, index))
                metric.update(*given, side=side, instances=instances[batch])
    return metric


def as_tensors(values):
    return {name: torch.from_numpy(value) for name, value in values.items()}


def work(rank, folder):
    """Everything a process does; what it found is left in a file."""
    torch.set_num_threads(1)
    functional._BLOCK = 4 * 3 * SIZES["gallery"]  # blocks of three sketches, which are shared out
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meet",
        rank=rank,
        world_size=3,
        timeout=timedelta(seconds=60),
    )
    groups = {world: dist.new_group(list(range(world))) for world in WORLDS}
    found = {}
    for world in WORLDS:
        if rank >= world:  # others must not wait for those outside the group
            continue
        for name, shares in SHARES.items():
            metric = InstanceRetrieval(**options(process_group=groups[world]))
            found[world, name] = feed(metric, shares, rank, world).compute()
            found[world, name, "values"] = as_tensors(metric.results().values)
    for name, shares in SHARES.items():
        # A sanity check sees a few batches, then everything starts again.
        metric = feed(InstanceRetrieval(**options()), SHARES["padded"], rank, 3, half=True)
        metric.results(partial=True)
        metric.reset()
        found["sanity", name] = feed(metric, shares, rank, 3).compute()
    # Without a reset the share is still there after the banks were gathered, and grows.
    metric = InstanceRetrieval(**options())
    feed(metric, {"gallery": SHARES["nothing on some"]["gallery"]}, rank, 3)
    metric.results(partial=True)
    found["grown"] = feed(metric, {"query": uneven, "gallery": uneven}, rank, 3).compute()
    parts = {"c": CategoryRetrieval([1], [4], prefix="c/"), "i": InstanceRetrieval(**options())}
    collection = feed(MetricCollection(parts), SHARES["no photos on some"], rank, 3)
    found["collection"] = collection.compute()
    try:
        feed(CategoryRetrieval(), {"query": padded}, rank, 3).compute()
    except SketchClipError as error:
        found["no photos at all"] = str(error)
    # int32 labels meet a process that has none.
    metric = CategoryRetrieval([1, 5], [4])
    if rank < 2:
        for side in SIZES:
            states, labels, index, _ = images(side)
            metric.update(states[rank::2], labels.int()[rank::2], index.int()[rank::2], side)
    found["int32"] = metric.compute()
    if rank == 1:  # alone: nobody else takes part
        alone = InstanceRetrieval(**options(sync_on_compute=False))
        found["alone"] = feed(alone, SHARES["padded"]).compute()
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Results of three processes, by rank."""
    folder = tmp_path_factory.mktemp("ddp")
    mp.spawn(work, (str(folder),), nprocs=3)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(3)]


@pytest.fixture(scope="module")
def expected():
    """The result of this one process."""
    return feed(InstanceRetrieval(**options()), SHARES["padded"])


def equal(result, other):
    assert result.keys() == other.keys()
    for name, value in other.items():
        assert result[name].tolist() == pytest.approx(value.tolist(), abs=1e-6), name


@pytest.mark.ddp
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("shares", SHARES)
def test_any_number_of_processes_equals_one(found, expected, world, shares):
    result = expected.compute()
    assert 0 < result["Acc@1"] < 1
    for rank in range(world):
        equal(found[rank][world, shares], result)
        equal(found[rank][world, shares, "values"], as_tensors(expected.results().values))


@pytest.mark.ddp
@pytest.mark.parametrize("shares", SHARES)
def test_after_a_sanity_check_nothing_of_it_is_left(found, expected, shares):
    for rank in range(3):
        equal(found[rank]["sanity", shares], expected.compute())


@pytest.mark.ddp
def test_images_may_follow_a_result(found, expected):
    for rank in range(3):
        equal(found[rank]["grown"], expected.compute())


@pytest.mark.ddp
def test_in_a_collection(found, expected):
    result = expected.compute()
    for rank in range(3):
        collected = found[rank]["collection"]
        # Names that two metrics share get the collection's own.
        for name in ("mAP@all", "mAP@4", "P@1"):
            mine = [v for key, v in collected.items() if key.endswith(name) and "chance" not in key]
            assert [v.item() for v in mine] == pytest.approx([result[name].item()] * 2, abs=1e-6)


@pytest.mark.ddp
def test_no_photo_in_any_process_is_an_error_in_all(found):
    for rank in range(3):
        assert "13 sketches and 0 photos" in found[rank]["no photos at all"]


@pytest.mark.ddp
def test_labels_of_another_type_than_the_empty_process_has(found, expected):
    for rank in range(3):
        for name, value in found[rank]["int32"].items():
            assert value.item() == pytest.approx(expected.compute()[name].item(), abs=1e-6)


@pytest.mark.ddp
def test_a_process_may_measure_alone(found, expected):
    equal(found[1]["alone"], expected.compute())
