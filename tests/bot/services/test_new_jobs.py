"""What an order becomes: the checks, and the values of jobs that stand on others."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bot.database import JobRepository
from bot.domain import Action, Job, JobState, Order
from bot.errors import UserError
from bot.prompting import VARY_STRENGTH, unheeded
from engine import Operation, Safety
from engine.catalog import Guidance
from tests.bot.services.bench import ADA, BOB, Bench, refused
from tests.bot.services.hand_driven_engine import small


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        ("", "prompt_empty"),
        ("a" * 4001, "prompt_too_long"),
        ("a cat --ar 0:1", "parameter_out_of_range"),
        ("a cat --sed 1", "parameter_unknown"),
    ],
)
async def test_a_wrong_prompt_costs_nothing(bench: Bench, prompt: str, code: str) -> None:
    assert (await refused(bench.order(prompt=prompt))).code == code
    assert await bench.jobs.unfinished(ADA.user_id) == ()
    assert bench.engine.requests == {}


async def test_where_the_bot_may_not_post_nothing_starts(bench: Bench) -> None:
    assert (await refused(bench.order(replace(ADA, bot_may_post=False)))).code == "cannot_post_here"


async def test_a_picture_is_posted_alone_without_the_gpu(bench: Bench) -> None:
    parent = await bench.made(prompt="a cat --seed 7 --n 2")
    job = await bench.order(BOB, None, action=Action.UPSCALE, parent_id=parent.id, index=1)
    update = await bench.reaches(job, JobState.POSTING)
    (image,) = update.images
    assert (image.index, image.seed, image.sha256) == (0, 8, parent.images[1].sha256)
    assert image.path.read_bytes() == parent.images[1].path.read_bytes()
    assert (job.owner_id, job.parent_index, job.seeds) == (BOB.user_id, 1, (8,))
    assert len(bench.engine.requests) == 1
    await bench.jobs.posted(job.id, channel_id=100, message_id=77)
    error = await refused(bench.order(ADA, None, action=Action.UPSCALE, parent_id=parent.id, index=1))
    assert error.code == "already_posted"
    assert error.values == {"job_id": job.id, "guild_id": 10, "channel_id": 100, "message_id": 77}
    elsewhere = replace(ADA, channel_id=101)
    await bench.order(elsewhere, None, action=Action.UPSCALE, parent_id=parent.id, index=1)
    done = await bench.jobs.get(job.id)
    await bench.jobs.lost(replace(done, result_message_id=76))
    assert (await bench.jobs.get(job.id)).result_message_id == 77
    await bench.jobs.lost(done)
    assert (await bench.jobs.get(job.id)).result_channel_id is None


async def test_two_clicks_on_one_u_post_it_once(bench: Bench) -> None:
    parent = await bench.made()
    orders = [
        Order(action=Action.UPSCALE, source=bench.source(), parent_id=parent.id, index=0) for _ in range(4)
    ]
    results = await asyncio.gather(
        *(bench.jobs.create(ADA, order) for order in orders), return_exceptions=True
    )
    assert sum(isinstance(result, Job) for result in results) == 1
    assert {result.code for result in results if isinstance(result, UserError)} == {"already_under_way"}


async def test_a_variation_starts_from_the_stored_picture(bench: Bench) -> None:
    parent = await bench.made(prompt="a cat --seed 7 --n 2")
    job = await bench.order(BOB, None, action=Action.VARY, parent_id=parent.id, index=1)
    await bench.sent(job)
    request = bench.engine.requests[job.id.hex]
    assert request.operation is Operation.IMAGE_TO_IMAGE
    assert request.init_image == bench.image_store.source_path(job.id)
    assert request.init_image.read_bytes() == parent.images[1].path.read_bytes()
    assert request.params.strength == VARY_STRENGTH
    assert (request.prompt, len(request.seeds)) == ("a cat", 2)
    assert request.seeds != parent.seeds
    assert job.parameters.seed is None
    # The parent may go: the variation and its rerolls have what they need.
    await bench.jobs.delete(ADA, parent.id)
    bench.engine.run(job.id.hex)
    await bench.reaches(job, JobState.POSTING)
    again = await bench.order(ADA, None, action=Action.REROLL, parent_id=job.id)
    await bench.sent(again)
    rolled = bench.engine.requests[again.id.hex]
    assert rolled.operation is Operation.IMAGE_TO_IMAGE
    assert rolled.init_image is not None
    assert rolled.init_image.read_bytes() == request.init_image.read_bytes()


async def test_a_parent_deleted_under_a_click_is_told_of(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The click has read its parent, and before its row is stored the parent is gone."""
    parent = await bench.made()
    add = JobRepository.add

    async def add_later(repository: JobRepository, job: Job) -> Job | None:
        await bench.jobs.delete(ADA, parent.id)
        return await add(repository, job)

    monkeypatch.setattr(JobRepository, "add", add_later)
    click = bench.order(BOB, None, action=Action.REROLL, parent_id=parent.id)
    assert (await refused(click)).code == "job_gone"
    assert bench.jobs.queue() == (0, 0)


async def test_a_reroll_keeps_all_but_the_seed(bench: Bench) -> None:
    parent = await bench.made(prompt="a cat --seed 7 --ar 2:1 --no dogs --n 3")
    job = await bench.order(BOB, None, action=Action.REROLL, parent_id=parent.id)
    assert (job.prompt, job.sampling, job.parameters) == (
        parent.prompt,
        parent.sampling,
        replace(parent.parameters, seed=None),
    )
    assert len(job.seeds) == 3
    assert job.seeds != parent.seeds
    assert job.owner_id == BOB.user_id


async def test_clicks_on_what_is_not_there(bench: Bench) -> None:
    parent = await bench.made(prompt="a cat --n 2")
    click = {"prompt": None, "parent_id": parent.id}
    for index in (2, -1, None):
        error = await refused(bench.order(action=Action.UPSCALE, index=index, **click))
        assert (error.code, error.values["count"]) == ("no_such_picture", 2)
        assert (
            await refused(bench.order(action=Action.VARY, index=index, **click))
        ).code == "no_such_picture"
    await bench.jobs.delete(ADA, parent.id)
    for action in (Action.UPSCALE, Action.VARY, Action.REROLL):
        assert (await refused(bench.order(action=action, index=0, **click))).code == "job_gone"
    assert (await refused(bench.order(action=Action.REROLL, prompt=None))).code == "job_gone"
    assert (await refused(bench.jobs.get(parent.id))).code == "job_gone"


async def test_a_withheld_picture_is_told_of_and_not_worked_with(bench: Bench) -> None:
    job = await bench.order(prompt="a cat --n 2")
    await bench.sent(job)
    bench.engine.make_picture(job.id.hex, 0, Safety.FLAGGED)
    bench.engine.make_picture(job.id.hex, 1, Safety.SAFE)
    bench.engine.complete(job.id.hex)
    update = await bench.reaches(job, JobState.POSTING)
    assert [image.safety for image in update.images] == [Safety.FLAGGED, Safety.SAFE]
    click = {"prompt": None, "parent_id": job.id, "index": 0}
    assert (await refused(bench.order(action=Action.VARY, **click))).code == "picture_flagged"
    assert (await refused(bench.order(action=Action.UPSCALE, **click))).code == "picture_flagged"


async def test_a_remix_keeps_what_the_parent_was_made_with_unless_it_says_otherwise(bench: Bench) -> None:
    parent = await bench.made(prompt="a cat --ar 2:1")
    await bench.jobs.close()
    async with bench.process(small(default_steps=9, max_side=512)):
        kept = await bench.order(BOB, "a dog --ar 2:1", action=Action.VARY, parent_id=parent.id, index=0)
        assert replace(kept.sampling, strength=1.0) == parent.sampling
        other = await bench.order(BOB, "a dog --seed 3", action=Action.VARY, parent_id=parent.id, index=0)
        assert other.sampling.num_inference_steps == 9
        assert (other.sampling.width, other.seeds[0]) == (other.sampling.height, 3)


async def test_a_remix_without_draft_leaves_the_variant_for_few_steps(bench: Bench) -> None:
    whole, fast = small(name="whole", fast="fast"), small(name="fast")
    await bench.jobs.close()
    async with bench.process(whole, fast):
        parent = await bench.made(prompt="a cat --draft")
        assert parent.model == "fast"
        again = await bench.order(BOB, "a dog --draft", action=Action.VARY, parent_id=parent.id, index=0)
        assert (again.model, unheeded(again)) == ("fast", ())
        slow = await bench.order(BOB, "a dog", action=Action.VARY, parent_id=parent.id, index=0)
        assert slow.model == "whole"


async def test_a_model_that_is_gone_is_replaced(bench: Bench) -> None:
    parent = await bench.made(prompt="a cat --ar 2:1")
    await bench.jobs.close()
    async with bench.process(small(name="new", native_width=96, native_height=96)):
        job = await bench.order(BOB, None, action=Action.VARY, parent_id=parent.id, index=0)
        await bench.sent(job)
        request = bench.engine.requests[job.id.hex]
        assert (request.model, request.params.width) == ("new", 128)
        assert request.params.strength == VARY_STRENGTH


async def test_a_waiting_job_whose_model_went_can_be_retried_with_another(bench: Bench) -> None:
    job = await bench.order(prompt="a cat --seed 7")
    await bench.jobs.close()
    async with bench.process(small(name="new", title="New")):
        update = await bench.reaches(job, JobState.FAILED)
        assert update.error is not None
        assert update.error.values == {"model": "test", "default": "New"}
        again = await bench.jobs.retry(ADA, job.id, "retry:0")
        assert (again.model, again.seeds) == ("new", job.seeds)


async def test_a_model_that_cannot_start_from_a_picture_says_so(bench: Bench) -> None:
    parent = await bench.made()
    await bench.jobs.close()
    async with bench.process(small(operations=(Operation.TEXT_TO_IMAGE,))):
        error = await refused(bench.order(prompt=None, action=Action.VARY, parent_id=parent.id, index=0))
        assert error.code == "request_rejected"


async def test_what_turned_out_not_to_be_read_is_left_out_of_a_reroll(bench: Bench) -> None:
    parent = await bench.made(prompt="a cat --no dogs")
    assert parent.sampling.negative_prompt == "dogs"
    await bench.jobs.close()
    async with bench.process(small(guidance=Guidance.CONDITION)):
        job = await bench.order(prompt=None, action=Action.REROLL, parent_id=parent.id)
        await bench.sent(job)
        assert unheeded(job) == ("--no",)
        assert bench.engine.requests[job.id.hex].params.negative_prompt == ""
