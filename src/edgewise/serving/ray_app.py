"""The same application as a Ray Serve deployment, for the machines of a Ray cluster.

Ray's own command starts it; what follows the name is the settings, as ``NAME=VALUE``:

    serve run edgewise.serving.ray_app:app runs=runs/mine data=data/mine \\
        store=redis://HOST:6379/0 replicas=4

Replicas are the workers of the service: they share the store, answer by the same version and switch
together. On several machines the store must be Redis, and run and data set must stand on all of
them under the same path. Replicas run in a folder of their own, so that a run which was fitted on
a data set named by a relative path needs ``data``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgewise.errors import ConfigError

if TYPE_CHECKING:
    from ray.serve import Application

    from edgewise.serving.app import ServeSettings

_DRAIN_SECONDS = 30
_QUESTIONS_AT_ONCE = 256


class RaySettings(BaseModel):
    """What ``serve run`` or the ``args`` of a Serve config file say.

    Attributes:
        runs: run folders with commas between them; the first one answers.
        models: a folder of more of them.
        data: where the data set stands, if it has moved.
        store: address; a path only where all replicas are on one machine.
        keys: a file of keys.
        replicas: of the service, each of which holds the model in memory.
        threads: of the model in each, which Ray reserves as processors.
        deadline_ms, stored, rate, log_level, weights: as of ``edgewise serve``.
    """

    model_config = ConfigDict(extra="forbid")

    runs: str = ""
    models: str | None = None
    data: str | None = None
    store: str = "edgewise-store.db"
    keys: str | None = None
    replicas: int = Field(1, ge=1)
    threads: int = Field(1, ge=1)
    deadline_ms: float = Field(200, gt=0)
    stored: int = Field(200, ge=1, le=10_000)
    rate: float = Field(0, ge=0)
    log_level: str = "info"
    weights: str | None = None

    def to_serve(self) -> ServeSettings:
        """As the service has them; paths become absolute, as replicas run in other folders."""
        from edgewise.serving.app import ServeSettings

        return ServeSettings(
            runs=tuple(_absolute(run) for run in self.runs.split(",") if run),
            models=self.models and _absolute(self.models),
            data=self.data and _absolute(self.data),
            store=self.store if "://" in self.store else _absolute(self.store),
            keys=self.keys and _absolute(self.keys),
            workers=self.replicas,
            threads=self.threads,
            deadline_ms=self.deadline_ms,
            stored=self.stored,
            rate=self.rate,
            log_level=self.log_level,
            weights=self.weights,
        )


def app(args: Mapping[str, Any]) -> Application:
    """What ``serve run edgewise.serving.ray_app:app`` starts.

    Args:
        args: fields of :class:`RaySettings`, as texts.

    Raises:
        ConfigError: Ray is not installed, a setting is unknown or impossible, or no run is named.
    """
    try:
        from ray import serve
    except ModuleNotFoundError:
        raise ConfigError("Ray Serve is not installed: pip install 'edgewise[ray,serve]'") from None
    try:
        asked = RaySettings.model_validate(args)
    except ValidationError as error:
        told = (f"{each['loc'][0]}: {each['msg']}" for each in error.errors())
        names = ", ".join(RaySettings.model_fields)
        raise ConfigError(f"{'; '.join(told)}; settings are {names}") from None
    if not asked.runs and asked.models is None:
        raise ConfigError("name a run folder with runs=FOLDER, or a folder of them with models=")
    settings = asked.to_serve()

    def build() -> Any:
        """In a replica, where models are loaded as the application starts."""
        from edgewise.serving.app import create_app
        from edgewise.serving.logs import log_as_json

        log_as_json(settings.log_level)
        return create_app(settings)

    deployment = serve.deployment(
        name="edgewise",
        num_replicas=asked.replicas,
        max_ongoing_requests=_QUESTIONS_AT_ONCE,
        graceful_shutdown_timeout_s=_DRAIN_SECONDS,
        ray_actor_options={"num_cpus": asked.threads},
    )
    return deployment(serve.ingress(build)()).bind()


def _absolute(path: str) -> str:
    return str(Path(path).absolute())
