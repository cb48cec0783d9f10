"""A member's tokens: batches blinded, handed in, waited for, checked and joined; several at a time."""

from __future__ import annotations

from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from threading import Event
from typing import TYPE_CHECKING, Any

from spiritsafe.errors import SharingError
from spiritsafe.sharing.matching import evaluation
from spiritsafe.sharing.matching.classes import hashed
from spiritsafe.sharing.matching.remote import HubError
from spiritsafe.sharing.matching.statements import opened

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from spiritsafe.sharing.matching.epoch import Epoch
    from spiritsafe.sharing.matching.evaluation import Asked, Prepared
    from spiritsafe.sharing.matching.remote import Remote
    from spiritsafe.sharing.matching.roster import Roster

_AT_ONCE = 4
"""Requests of one member that wait at the hub at one time."""
_LASTS = 6 * 3_600 * 1_000_000
_POLL, _SLOWEST = 0.2, 2.0
"""Seconds between two looks for answers: little at first, more the longer it takes."""


@dataclass
class Asking:
    """Asks for tokens. ``patience``: seconds without any progress before it gives up; ``sleep`` waits that long.

    ``blamed`` collects what holders did wrong, with what they signed.
    """

    remote: Remote
    epoch: Epoch
    me: str
    key: Ed25519PrivateKey
    roster: Roster
    clock: Callable[[], int]
    sleep: Callable[[float], None]
    patience: float = 120.0
    processes: int = 1
    blamed: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    _stopped: Event = field(default_factory=Event, repr=False)

    def tokens(
        self,
        values: Mapping[str, Sequence[str]],
        keep: Callable[[dict[tuple[str, str], bytes]], None] = lambda _: None,
    ) -> dict[tuple[str, str], bytes]:
        """The token of each canonical value, by class and value. ``keep`` is given those of each batch as it comes in.

        Raises SharingError: over quota, too few holders, the hub does not answer.
        """
        jobs = [
            (name, piece)
            for name, listed in values.items()
            for piece in _pieces(listed, evaluation.voprf.MOST)
        ]
        found: dict[tuple[str, str], bytes] = {}
        with (
            _pool(self.processes if len(jobs) > 1 else 1) as run,
            ThreadPoolExecutor(max(1, min(_AT_ONCE, len(jobs)))) as threads,
        ):
            futures = [threads.submit(self._batch, run, name, piece) for name, piece in jobs]
            try:
                for future in as_completed(futures):
                    keep(future.result())
                    found |= future.result()
            except BaseException:
                self._stopped.set()
                threads.shutdown(cancel_futures=True)
                raise
        return found

    def _batch(self, run: Any, name: str, values: Sequence[str]) -> dict[tuple[str, str], bytes]:
        batch = run(evaluation.prepare, [hashed(name, one) for one in values]).result()
        tokens = self._waited(self._handed_in(name, batch), run)
        return {(name, value): token for value, token in zip(values, tokens, strict=True)}

    def _handed_in(self, name: str, batch: Prepared) -> Asked:
        asked = evaluation.request(
            self.epoch,
            self.me,
            self.key,
            name,
            batch,
            expires=min(self.clock() + _LASTS, self.epoch.proposal.valid_until),
        )
        self.remote.ask(asked.statement, asked.elements)
        return asked

    def _waited(self, asked: Asked, run: Any) -> list[bytes]:
        """The tokens of a batch. A holder whose answer does not hold, or who refused, is replaced by another."""
        threshold, holders = self.epoch.proposal.threshold, set(self.epoch.proposal.holders)
        request, aside, waited = asked.statement.id, dict[str, SharingError](), 0.0
        while True:
            answers, refusals = self.remote.answers(request)
            fresh = {one: answer for one, answer in answers.items() if one in holders and one not in aside}
            refused = {one for one in refusals if one in holders and one not in aside}
            if len(fresh) >= threshold:
                parts, bad = evaluation.sorted_out(self.epoch, asked, fresh, self.roster)
                tokens, wrong = run(evaluation.combine, asked.batch, parts, threshold).result()
                self._blame(asked, answers, wrong)
                if tokens is not None:
                    with suppress(HubError):
                        self.remote.done(request)
                    return tokens
                aside |= bad | evaluation.blamed(wrong)
                self.remote.again(request, aside)
            elif refused:
                aside |= {one: SharingError(self._why(refusals[one], one)) for one in refused}
            if len(holders) - len(aside) < threshold:
                raise evaluation.NotEnough(aside) from next(iter(aside.values()))
            if waited >= self.patience or self._stopped.is_set():
                raise SharingError(
                    f"{len(fresh)} of {threshold} key holders have answered in {waited:.0f} s",
                    hint="run it again later: what was evaluated is kept",
                )
            pause = min(max(_POLL, waited / 4), _SLOWEST)
            self.sleep(pause)
            waited += pause

    def _why(self, envelope: object, holder: str) -> str:
        try:
            statement = opened("refusal", envelope, self.roster)
        except SharingError:
            return "the hub says that it refused"
        return (
            f"refused: {statement.body['why']}" if statement.by == holder else "the hub says that it refused"
        )

    def _blame(self, asked: Asked, answers: Mapping[str, Any], wrong: Mapping[str, str]) -> None:
        for holder, why in wrong.items():
            self.blamed.append(
                {
                    "holder": holder,
                    "why": why,
                    "request": asked.statement.envelope,
                    "elements": asked.elements.hex(),
                    "answer": answers[holder].envelope,
                    "answered": answers[holder].elements.hex(),
                }
            )


@contextmanager
def _pool(processes: int) -> Generator[Any]:
    """``run(function, *values) -> Future``, here or in other processes."""
    if processes < 2:
        yield _here
        return
    # Spawned, not forked: threads of the compiled code and of the HTTP client do not survive a fork.
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        yield pool.submit


def _here(function: Callable[..., Any], *values: Any) -> Any:
    future: Future[Any] = Future()
    future.set_result(function(*values))
    return future


def _pieces(listed: Sequence[str], size: int) -> Sequence[Sequence[str]]:
    return [listed[at : at + size] for at in range(0, len(listed), size)]
