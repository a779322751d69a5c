"""The two bodies that make an experiment: the form of a holdout (Part II), or a whole spec."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, cast

from pydantic import Discriminator, Tag
from sqlalchemy.orm import Session

from fairtrial.service.access.roles import Actor
from fairtrial.service.experiments.lifecycle import create_holdout
from fairtrial.service.experiments.schemas import ExperimentCreate
from fairtrial.service.versions.schemas import SpecCreate
from fairtrial.service.versions.versions import create_from_spec
from fairtrial.storage.tables import Experiment


def _form_of(body: object) -> str:
    has_spec = "spec" in cast("dict[str, object]", body) if isinstance(body, dict) else isinstance(body, SpecCreate)
    return "spec-form" if has_spec else "holdout-form"


NewExperiment = Annotated[
    Annotated[ExperimentCreate, Tag("holdout-form")] | Annotated[SpecCreate, Tag("spec-form")], Discriminator(_form_of)
]
"""A body with `spec` is a whole spec, any other is the form of a holdout."""


def create(session: Session, asked: ExperimentCreate | SpecCreate, *, actor: Actor, now: dt.datetime) -> Experiment:
    """A new draft.

    Raises:
        ConflictError: Its key is taken.
        SpecError: It breaks a rule of specs.
    """
    if isinstance(asked, SpecCreate):
        return create_from_spec(session, asked, actor=actor, now=now)
    return create_holdout(session, asked, actor=actor, now=now)
