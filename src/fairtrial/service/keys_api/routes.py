"""Routes of API keys: parse, one call, return."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from fairtrial.service.dependencies import AsAdmin, DbRead, DbWrite, Now, State
from fairtrial.service.keys_api import keys
from fairtrial.service.keys_api.schemas import KeyChange, KeyCreate, KeyList, KeyMade, KeyOut

router = APIRouter(prefix="/keys", tags=["keys"])

PublicId = Annotated[str, Path(min_length=1, max_length=50)]


@router.post("", status_code=201, response_model=KeyMade)
def create_api_key(db: DbWrite, actor: AsAdmin, now: Now, body: KeyCreate) -> KeyMade:
    """Make a key; the answer is the only place where it is shown."""
    return keys.make(db, body, actor=actor, now=now)


@router.get("", response_model=KeyList)
def read_api_keys(
    db: DbRead,
    actor: AsAdmin,
    now: Now,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    skip: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> KeyList:
    """List keys, newest first, without their secrets."""
    del actor
    return keys.listed(db, now=now, limit=limit, offset=skip)


@router.get("/{public_id}", response_model=KeyOut)
def read_api_key(db: DbRead, actor: AsAdmin, now: Now, public_id: PublicId) -> KeyOut:
    """One key without its secret."""
    del actor
    return keys.as_out(keys.get(db, public_id), now)


@router.patch("/{public_id}", response_model=KeyOut)
def change_api_key(db: DbWrite, actor: AsAdmin, now: Now, state: State, public_id: PublicId, body: KeyChange) -> KeyOut:
    """Give a key another name, role or end."""
    return keys.change(db, public_id, body, keys=state.keys, actor=actor, now=now)


@router.delete("/{public_id}", response_model=KeyOut)
def revoke_api_key(db: DbWrite, actor: AsAdmin, now: Now, state: State, public_id: PublicId) -> KeyOut:
    """Revoke a key for ever; other processes forget it within a minute."""
    return keys.revoke(db, public_id, keys=state.keys, actor=actor, now=now)
