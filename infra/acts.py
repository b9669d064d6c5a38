"""Which handler does which act, and what it is made of; a subject's is made when one of its acts is first asked for."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from domain.errors import TrainingMethodError
from domain.people.users import User
from domain.use_cases.act import Act
from domain.use_cases.rights import Rights, must_meet

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
            must_meet(act, by=by, commands=lambda: self._installation.commands)
            if subject not in self._made:
                self._made[subject] = SUBJECTS[subject](self._installation)
            done: R = self._made[subject][type(act)](act, by, command_id)
        return done


def _methods(tmm: "Installation") -> Handlers:
    from adapters.trainers import declarations
    from domain.use_cases import methods as acts
    from infra.upkeep.publishing import update_prefect

    methods = acts.Methods(
        tmm.catalogue,
        tmm.trainings,
        tmm.auditing,
        trainers=declarations(),
        flow_runs=lambda: tmm.flow_runs,
        follow=partial(update_prefect, tmm),
    )
    return {
        acts.ListMethods: methods.all,
        acts.MethodsAtAGlance: methods.at_a_glance,
        acts.ShowMethod: methods.one,
        acts.ShowMethodInFull: methods.in_full,
        acts.MethodHistory: methods.history,
        acts.MethodEntries: methods.entries,
        acts.MayI: methods.may_i,
        acts.MayTry: methods.may_try,
        acts.AddMethod: methods.add,
        acts.ModifyMethod: methods.modify,
        acts.DeletionImpact: methods.impact,
        acts.DeleteMethod: methods.delete,
        acts.OfferedTrainers: methods.trainers,
    }


def _trainings(tmm: "Installation") -> Handlers:
    from adapters.machines.run_process import CarriersHere
    from domain.use_cases import trainings as acts
    from infra.trainings.preparing import Preflight

    trainings = acts.Trainings(
        tmm.trainings,
        tmm.catalogue,
        Preflight(tmm),
        CarriersHere(tmm.settings.runs),
        Rights(tmm.commands),
        flow_runs=lambda: tmm.flow_runs,
        pools=lambda: tmm.pools,
        backends=tmm.settings.backends,
    )
    return {
        acts.Backends: trainings.backends,
        acts.DryRun: trainings.dry_run,
        acts.StartTraining: trainings.start,
        acts.WhatChangedSince: trainings.what_changed,
        acts.RerunRun: trainings.rerun,
        acts.CancelRun: trainings.cancel,
        acts.ResumeRun: trainings.resume,
    }


def _runs(tmm: "Installation") -> Handlers:
    from domain.use_cases import runs as acts
    from infra.trainings.waiting_runs import note_waiting

    runs = acts.Runs(
        tmm.trainings, tmm.kept_runs, flow_runs=lambda: tmm.flow_runs, note_waiting=partial(note_waiting, tmm)
    )
    return {
        acts.ListRuns: runs.all,
        acts.FindRun: runs.find,
        acts.ShowRun: runs.show,
        acts.WhereRunStands: runs.stands,
    }


def _results(tmm: "Installation") -> Handlers:
    from domain.use_cases import results as acts
    from infra.trainings.models_of_runs import ModelsOfRuns

    models = ModelsOfRuns(
        tmm.settings,
        tmm.artifacts,
        tmm.base_models,
        tmm.datasets,
        method_of=lambda run: tmm.trainings.method_of(run.run_id),
    )
    results = acts.Results(tmm.trainings, tmm.kept_runs, models)
    return {
        acts.CompareRuns: results.compare,
        acts.AskRun: results.ask,
        acts.ExportRun: results.export,
        acts.MeasureRun: results.measure,
        acts.RunFile: results.file,
    }


def _data(tmm: "Installation") -> Handlers:
    from adapters.datasets.library import DatasetsByName
    from domain.use_cases import data as acts

    datasets = DatasetsByName(tmm.datasets, tmm.settings.datasets)
    data = acts.Data(datasets, tmm.base_models, tmm.trainings, tmm.auditing)
    return {
        acts.ListDatasets: data.datasets,
        acts.ListBaseModels: data.base_models,
        acts.PreviewDataset: data.preview,
        acts.UploadDataset: data.upload,
    }


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
    from domain.use_cases.operators.operating import AcceptClock, Operators, RebuildViews

    operators = Operators(tmm.operating)
    return {RebuildViews: operators.rebuild, AcceptClock: operators.accept_clock}


def _pools(tmm: "Installation") -> Handlers:
    from domain.use_cases.operators.pools import ListPools, PausePool, Pools, ResumePool

    pools = Pools(tmm.pools)
    return {ListPools: pools.all, PausePool: pools.pause, ResumePool: pools.resume}


def _health(tmm: "Installation") -> Handlers:
    from domain.use_cases.operators.health import Examine, Health, PutRight
    from infra.upkeep.doctor import Doctor

    health = Health(Doctor(tmm))
    return {Examine: health.examine, PutRight: health.put_right}


def _serving(tmm: "Installation") -> Handlers:
    from domain.use_cases.operators.serving import (
        Demonstrate,
        LinesForPrograms,
        Migrate,
        PageLink,
        Serve,
        ServePage,
        Serving,
        SignInLink,
        Work,
    )
    from infra.serving.machine import Machine

    serving = Serving(Machine(tmm), tmm.settings.backends)
    return {
        Migrate: serving.migrate,
        Serve: serving.serve,
        Work: serving.work,
        Demonstrate: serving.demonstrate,
        LinesForPrograms: serving.lines,
        SignInLink: serving.sign_in,
        ServePage: serving.page,
        PageLink: serving.page_link,
    }


def _signing_in(tmm: "Installation") -> Handlers:
    from domain.use_cases.signing_in import EndSessions, FreeName
    from infra.serving.page.people import signing_in_of

    signing_in = signing_in_of(tmm)
    return {EndSessions: signing_in.end_sessions, FreeName: signing_in.free}


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


SUBJECTS: Mapping[str, Callable[["Installation"], Handlers]] = {
    "domain.use_cases.methods": _methods,
    "domain.use_cases.trainings": _trainings,
    "domain.use_cases.runs": _runs,
    "domain.use_cases.results": _results,
    "domain.use_cases.data": _data,
    "domain.use_cases.signing_in": _signing_in,
    "domain.use_cases.audit": _audit,
    "domain.use_cases.proving": _proving,
    "domain.use_cases.licences": _licences,
    "domain.use_cases.operators.operating": _operating,
    "domain.use_cases.custom_code": _custom_code,
    "domain.use_cases.operators.pools": _pools,
    "domain.use_cases.operators.health": _health,
    "domain.use_cases.operators.serving": _serving,
}
