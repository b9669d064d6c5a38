"""Which handler does which act, and what it is made of; a subject's is made when one of its acts is first asked for."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from domain.errors import TrainingMethodError
from domain.people.users import User
from domain.use_cases.act import Act

if TYPE_CHECKING:
    from domain.audit.operating import Operating
    from infra.wiring import Installation

R = TypeVar("R")
Handlers = Mapping[type[Act[Any]], Callable[..., Any]]


class Acts:
    """Does acts on this installation."""

    def __init__(self, installation: "Installation") -> None:
        self._installation = installation
        self._made: dict[str, Handlers] = {}

    def __call__(self, act: Act[R], *, by: User, command_id: UUID | None = None) -> R:
        """Do it for this person. Raises `TrainingMethodError`, an outside thing's errors in our words."""
        subject = type(act).__module__
        with _in_our_words(self._installation):
            if subject not in self._made:
                self._made[subject] = SUBJECTS[subject](self._installation)
            done: R = self._made[subject][type(act)](act, by, command_id)
        return done


@contextmanager
def _in_our_words(tmm: "Installation") -> Iterator[None]:
    try:
        yield
    except TrainingMethodError:
        raise
    except Exception as error:
        if (explained := tmm.explain(error)) is None:
            raise
        raise explained from error


def _audit(tmm: "Installation") -> Handlers:
    from adapters.proof.checkpoint_files import CheckpointFolder
    from domain.use_cases.audit import Audit, AuditPage, CountAudit, HowTheLogStands, Why

    audit = Audit(tmm.auditing, CheckpointFolder(tmm.settings.checkpoints))
    return {HowTheLogStands: audit.stands, AuditPage: audit.page, CountAudit: audit.count, Why: audit.why}


def _proving(tmm: "Installation") -> Handlers:
    from domain.use_cases.proving import ExportLog, Proving, SignLog, VerifyExport, VerifyLog

    proving = Proving(tmm.proof)
    return {
        SignLog: proving.sign,
        ExportLog: proving.export,
        VerifyLog: proving.verify,
        VerifyExport: proving.verify_export,
    }


def _licences(tmm: "Installation") -> Handlers:
    from domain.use_cases.licences import (
        InstallLicence,
        IssueLicence,
        IssueToken,
        Licensing,
        ListLicences,
        MakeKeys,
        RemoveLicence,
        TrustKey,
    )
    from infra.acting_for import issue_token

    def records(record: "Callable[[Operating], None]") -> None:
        with _in_our_words(tmm):
            record(tmm.operating)

    licensing = Licensing(tmm.licences, tmm.acting_tokens, records=records, issue_token=partial(issue_token, tmm))
    return {
        ListLicences: licensing.all,
        InstallLicence: licensing.install,
        RemoveLicence: licensing.remove,
        TrustKey: licensing.trust,
        MakeKeys: licensing.make_keys,
        IssueLicence: licensing.issue,
        IssueToken: licensing.token,
    }


def _operating(tmm: "Installation") -> Handlers:
    from domain.use_cases.operating import AcceptClock, Operators, RebuildViews

    operators = Operators(tmm.operating)
    return {RebuildViews: operators.rebuild, AcceptClock: operators.accept_clock}


def _pools(tmm: "Installation") -> Handlers:
    from domain.use_cases.pools import ListPools, PausePool, Pools, ResumePool

    pools = Pools(tmm.pools)
    return {ListPools: pools.all, PausePool: pools.pause, ResumePool: pools.resume}


def _health(tmm: "Installation") -> Handlers:
    from domain.use_cases.health import Examine, Health, PutRight
    from infra.upkeep.doctor import Doctor

    health = Health(Doctor(tmm))
    return {Examine: health.examine, PutRight: health.put_right}


def _serving(tmm: "Installation") -> Handlers:
    from domain.use_cases.serving import Demonstrate, LinesForPrograms, Migrate, Serve, Serving, SignInLink, Work
    from infra.serving.machine import Machine

    serving = Serving(Machine(tmm), tmm.settings.backends)
    return {
        Migrate: serving.migrate,
        Serve: serving.serve,
        Work: serving.work,
        Demonstrate: serving.demonstrate,
        LinesForPrograms: serving.lines,
        SignInLink: serving.sign_in,
    }


def _custom_code(tmm: "Installation") -> Handlers:
    from domain.use_cases import custom_code as acts
    from infra.upkeep.publishing import update_prefect

    code = acts.CustomCode(
        tmm.catalogue, tmm.workshop, backends=tmm.settings.backends, follow=partial(update_prefect, tmm)
    )
    return {
        acts.NewCode: code.new,
        acts.CheckFolder: code.check_folder,
        acts.CheckMethod: code.check_method,
        acts.RunHere: code.run_here,
        acts.SaveCode: code.save,
        acts.AddWithCode: code.add,
        acts.CodeVersions: code.versions,
        acts.CodeFiles: code.files,
        acts.FolderFiles: code.folder_files,
        acts.BringCode: code.bring,
        acts.RestoreCode: code.restore,
    }


def _methods(tmm: "Installation") -> Handlers:
    from adapters import trainers
    from domain.use_cases import methods as acts
    from infra.upkeep.publishing import update_prefect

    methods = acts.Methods(
        tmm.catalogue,
        tmm.trainings,
        tmm.auditing,
        trainers=trainers.declarations(),
        prefect=_InPrefect(tmm),
        follow=partial(update_prefect, tmm),
    )
    return {
        acts.ListMethods: methods.all,
        acts.MethodsAtAGlance: methods.at_a_glance,
        acts.ShowMethod: methods.show,
        acts.MethodHistory: methods.history,
        acts.MethodStory: methods.story,
        acts.MayI: methods.may,
        acts.MustBeAllowed: methods.must_be_allowed,
        acts.AddMethod: methods.add,
        acts.ModifyMethod: methods.modify,
        acts.DeletionImpact: methods.impact,
        acts.DeleteMethod: methods.delete,
        acts.OfferedTrainers: methods.trainers,
    }


class _InPrefect:
    """What Prefect holds of methods, reached when it is asked: it may not be there."""

    def __init__(self, tmm: "Installation") -> None:
        self._tmm = tmm

    def scheduled(self, method: str) -> int:
        return self._tmm.flow_runs.scheduled(method)

    def cancel(self, run_id: UUID, reason: str) -> None:
        self._tmm.flow_runs.cancel(run_id, reason)


SUBJECTS: Mapping[str, Callable[["Installation"], Handlers]] = {
    "domain.use_cases.methods": _methods,
    "domain.use_cases.audit": _audit,
    "domain.use_cases.proving": _proving,
    "domain.use_cases.licences": _licences,
    "domain.use_cases.operating": _operating,
    "domain.use_cases.custom_code": _custom_code,
    "domain.use_cases.pools": _pools,
    "domain.use_cases.health": _health,
    "domain.use_cases.serving": _serving,
}
