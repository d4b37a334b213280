"""``finetune30 jobs``: the operator's door to the queue, straight on the database.

A mere look makes nothing. Neighbours: ``finetune30.jobs`` does the work, ``jobs_shown`` the words.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finetune30.cli import runs, wanted
from finetune30.cli.user import local_user
from finetune30.settings import Settings, get_settings

if TYPE_CHECKING:
    from finetune30.experiments import Experiment, Overview
    from finetune30.jobs import Jobs, Place

# Of those that have ended, unless more are asked for.
_ENDED_SHOWN = 20

app = typer.Typer(help="Submit trainings to a queue; workers run them.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the job, or how it begins.")]


@app.command()
def submit(
    config: wanted.ConfigArgument = None,
    config_option: wanted.ConfigOption = None,
    overrides: wanted.Overrides = None,
    experiment_name: wanted.ExperimentName = None,
    learning_rate: wanted.LearningRate = None,
    epochs: wanted.Epochs = None,
    train_samples: wanted.TrainSamples = None,
    device: wanted.Device = None,
    priority: Annotated[int, typer.Option(help="-100 to 100; among your jobs the highest starts first.")] = 0,
    queue: Annotated[str | None, typer.Option(help="One of QUEUES; the first of them if left out.")] = None,
    max_runtime: Annotated[
        str | None, typer.Option("--max-runtime", help="End an attempt after so long: 90, 30m, 2h.")
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", help="Submitting again with this key makes no second job.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Submit a training; it is kept from then on, whatever fails."""
    path = wanted.one_file(config, config_option)
    given = wanted.all_overrides(
        overrides,
        experiment_name=experiment_name,
        learning_rate=learning_rate,
        epochs=epochs,
        train_samples=train_samples,
        device=device,
    )
    longest_s = wanted.seconds(max_runtime, "--max-runtime")
    from finetune30.config import load
    from finetune30.experiments import Wish

    settings = get_settings()
    checked = load(path, given)
    wish = Wish(
        queue=queue if queue is not None else settings.queues[0],
        priority=priority,
        max_runtime_s=longest_s,
        idempotency_key=idempotency_key,
    )
    for note in checked.notes:
        _note(note)
    jobs = _open(settings, create=True)
    _tell(jobs, jobs.submit(checked, local_user(), wish), as_json)


@app.command("list")
def list_jobs(
    status: Annotated[
        str | None, typer.Option(help="PENDING, STARTED, SUCCESS, FAILURE or REVOKED.", case_sensitive=False)
    ] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what ended before the newest 20.")] = False,
    as_json: AsJson = False,
) -> None:
    """List jobs: what runs, what waits in the order it will start, what has ended (the newest 20)."""
    wanted_status = runs.status_of(status)
    from finetune30.cli import jobs_shown, shown
    from finetune30.errors import UsageError
    from finetune30.jobs import telling

    if limit is not None and limit < 1:
        raise UsageError(f"--limit is {limit}, expected at least 1")
    if limit is not None and everything:
        raise UsageError("both --all and --limit were given, expected one of them")
    settings = get_settings()
    jobs = _open(settings)
    places = jobs.places()
    ended = _ENDED_SHOWN if limit is None and not everything and not as_json else limit
    found = jobs.store.overview(status=wanted_status, ended=False)
    found += jobs.store.overview(status=wanted_status, ended=True, sort_by="finished_at", limit=ended)
    found = jobs_shown.in_turn(found, places)[:limit]
    if as_json:
        _print({"jobs": [telling.summary(one, places.get(one.id)) for one in found]})
        return
    shown.console().print(jobs_shown.table(found, places, settings.zone))
    if not found:
        _note("no jobs")
    _note_missing_workers(jobs, ((one, places.get(one.id)) for one in found))
    if (rest := jobs.store.count(status=wanted_status) - len(found)) > 0:
        which = "more" if limit else "older one" if rest == 1 else "older ones"
        verb = "is" if rest == 1 else "are"
        _note(f"{rest} {which} {verb} not shown; see all with: finetune30 jobs list --all, or some with --limit N")


@app.command()
def show(job_id: Id, as_json: AsJson = False) -> None:
    """Show everything about one job: its place, its attempts, what happened to it."""
    from finetune30.cli import jobs_shown, shown
    from finetune30.experiments import ExperimentFolder
    from finetune30.jobs import telling

    settings = get_settings()
    jobs = _open(settings)
    found = jobs.store.match(job_id)
    place = jobs.place(found.id)
    attempts, events = jobs.store.attempts(found.id), jobs.queue.events(found.id)
    if as_json:
        _print(telling.everything(found, place, attempts, events))
        return
    folder = ExperimentFolder(settings.results_dir, found.id)
    screen = shown.console()
    screen.print(shown.details(found, folder.size_bytes(), str(folder.path), settings.zone))
    screen.print(jobs_shown.queue_details(found, place))
    if attempts:
        screen.print()
        screen.print(shown.history(attempts, settings.zone))
    if events:
        screen.print()
        screen.print(jobs_shown.events_table(events, settings.zone))
    _note_missing_workers(jobs, [(found, place)])


@app.command()
def cancel(job_id: Id, as_json: AsJson = False) -> None:
    """Stop a job: at once if nobody runs it, else at its next heartbeat."""
    jobs = _open(get_settings())
    found = jobs.cancel(jobs.store.match(job_id).id)
    told = f"is {found.status}" if found.status.is_terminal else "stops at its next heartbeat"
    _answer(jobs, found, f"{found.id} {told}", as_json)


@app.command()
def pause(job_id: Id, as_json: AsJson = False) -> None:
    """Let a job wait until it is resumed; a running one stops at a checkpoint first."""
    jobs = _open(get_settings())
    found = jobs.pause(jobs.store.match(job_id).id)
    then = f"go on with: finetune30 jobs resume {found.id}"
    told = f"is paused; {then}" if found.paused else f"is paused at its next checkpoint; {then}"
    _answer(jobs, found, f"{found.id} {told}", as_json)


@app.command()
def resume(job_id: Id, as_json: AsJson = False) -> None:
    """Let a paused job wait for a worker again; it goes on from its checkpoint."""
    jobs = _open(get_settings())
    _tell(jobs, jobs.resume(jobs.store.match(job_id).id), as_json)


@app.command()
def retry(
    job_id: Id,
    fresh: Annotated[bool, typer.Option("--fresh", help="From the beginning, not from its checkpoints.")] = False,
    priority: Annotated[int | None, typer.Option(help="Another priority than before, -100 to 100.")] = None,
    queue: Annotated[str | None, typer.Option(help="Another of QUEUES than before.")] = None,
    max_runtime: Annotated[
        str | None, typer.Option("--max-runtime", help="Another longest time of an attempt: 90, 30m, 2h.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run an ended job again as a new one: a failed or cancelled one goes on from its checkpoints."""
    longest_s = wanted.seconds(max_runtime, "--max-runtime")
    jobs = _open(get_settings())
    before = jobs.store.match(job_id)
    job = jobs.retry(before.id, local_user(), fresh=fresh, queue=queue, priority=priority, max_runtime_s=longest_s)
    from finetune30.cli import jobs_shown

    _tell(jobs, job, as_json, jobs_shown.begins(job, before, fresh=fresh))


@app.command()
def logs(
    job_id: Id,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
) -> None:
    """Print a job's log."""
    runs.logs(job_id, follow)


def _open(settings: Settings, *, create: bool = False) -> Jobs:
    from finetune30.jobs import Jobs

    return Jobs(settings, create=create)


def _tell(jobs: Jobs, job: Experiment, as_json: bool, more: str = "") -> None:
    """The job somebody has just set on its way, and what ``more`` there is to say of it."""
    from finetune30.cli import jobs_shown

    place = jobs.place(job.id)
    _answer(jobs, job, f"{job.id}  {jobs_shown.standing(job, place)}{more}", as_json)
    _note_missing_workers(jobs, [(job, place)])


def _answer(jobs: Jobs, job: Experiment, told: str, as_json: bool) -> None:
    from finetune30.jobs import telling

    if as_json:
        _print(telling.summary(job, jobs.place(job.id)))
    else:
        typer.echo(told)


def _note_missing_workers(jobs: Jobs, waiting: Iterable[tuple[Overview, Place | None]]) -> None:
    """Say so where something waits that nobody will take."""
    from finetune30.cli import jobs_shown

    placed = [(job, place) for job, place in waiting if place is not None]
    for queue in sorted({job.queue for job, place in placed if not place.slots}):
        serves = "" if queue == jobs.settings.queues[0] else f" that serves {queue}"
        command = "finetune30 worker" + (f" --queues {queue}" if serves else "")
        _note(f"no worker{serves} is running; start one with: {command}")
    for job in {(job.queue, job.devices): job for job, place in reversed(placed) if place.too_large}.values():
        _note(f"{job.id}: {jobs_shown.lacking(job)}")  # of many that are alike, the first


def _print(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))


def _note(text: str) -> None:
    typer.echo(text, err=True)
