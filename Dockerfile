# Pressroom in one image: the command line, the workers, the API and the sandbox. `docker compose build`, or `docker build .`.

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# Dependencies first: this layer is rebuilt only when a lock changes. Wheels with known hashes need no compiler.
COPY requirements/runtime.txt requirements/build.txt requirements/
RUN python -m venv /opt/pressroom \
 && /opt/pressroom/bin/pip install --require-hashes --only-binary :all: -r requirements/runtime.txt \
 && python -m venv /opt/build \
 && /opt/build/bin/pip install --require-hashes --only-binary :all: -r requirements/build.txt

# Our own package, built with the locked setuptools only.
COPY pyproject.toml README.md LICENSE ./
COPY api api
COPY cli cli
COPY worker worker
COPY pressroom pressroom
COPY models models
COPY migrations migrations
COPY sandbox sandbox
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /wheels . \
 && /opt/pressroom/bin/pip install --no-deps --no-index /wheels/*.whl \
 && /opt/pressroom/bin/pip uninstall --yes pip \
 && /opt/pressroom/bin/python -m compileall -q /opt/pressroom/lib


FROM python:3.13-slim
# The OpenAI SDK verifies certificates against the system's store, so the image has to have one.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --system --gid 10001 pressroom \
 && useradd --system --uid 10001 --gid pressroom --no-create-home --home-dir /var/lib/pressroom pressroom \
 && install --directory --owner=pressroom --group=pressroom --mode=0700 /var/lib/pressroom
COPY --from=build /opt/pressroom /opt/pressroom

# The data directory takes paid-for images while the object store is away: give it a volume.
ENV PATH=/opt/pressroom/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PRESSROOM_DATA_DIR=/var/lib/pressroom
WORKDIR /var/lib/pressroom
VOLUME /var/lib/pressroom
USER 10001:10001

# Tells whether this container reaches its database, queue and object store. It only reports: a worker whose database is
# away keeps its finished results and settles them later, so do not let an orchestrator kill it for being unhealthy.
HEALTHCHECK --interval=60s --timeout=20s --start-period=30s --retries=3 CMD ["pressroom", "doctor", "--json"]

# SIGTERM drains: calls in flight finish or are handed back within PRESSROOM_DRAIN_SECONDS, and the API's answers go out
# within PRESSROOM_API_DRAIN_SECONDS. Allow more before SIGKILL.
STOPSIGNAL SIGTERM
ENTRYPOINT ["pressroom"]
CMD ["--help"]
