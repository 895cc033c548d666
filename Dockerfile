# The relay in a container: web, worker and embedded store in one (`up`), or one of them (`web`, `worker`).
#
#     docker build -t cams-relay .
#     docker run --read-only --tmpfs /tmp -v cams-relay:/data -p 127.0.0.1:8000:8000 cams-relay
#
# compose.yaml does both. docs/install.md says more. For another architecture: docker build --platform linux/arm64 .
ARG BASE_IMAGE=docker.io/library/python:3.12-slim

# hadolint ignore=DL3006
FROM ${BASE_IMAGE} AS build
WORKDIR /build
COPY requirements-image.txt requirements-dev.txt ./
# uv as requirements-dev.txt pins it, then the packages; each is checked against its hash.
RUN sed -n '/^uv==/,/[^\\]$/p' requirements-dev.txt > uv.txt \
 && python3 -m venv /opt/uv \
 && /opt/uv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r uv.txt
ENV UV_NO_CACHE=1 UV_PYTHON=/opt/cams-relay/bin/python UV_COMPILE_BYTECODE=1 UV_NO_PROGRESS=1
RUN /opt/uv/bin/uv venv --python "$(command -v python3)" /opt/cams-relay \
 && /opt/uv/bin/uv pip install --require-hashes -r requirements-image.txt
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY workers workers
COPY simulator simulator
RUN /opt/uv/bin/uv pip install --no-deps .

# hadolint ignore=DL3006
FROM ${BASE_IMAGE}
# tini passes signals on, and ends what processes leave behind. Its version is that of the base image's Debian.
# hadolint ignore=DL3008
RUN command -v tini >/dev/null || { apt-get update \
 && apt-get install --yes --no-install-recommends tini \
 && rm -rf /var/lib/apt/lists/*; }
RUN groupadd --gid 10001 relay \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin relay \
 && install --directory --owner=10001 --group=10001 --mode=0700 /data
COPY --from=build /opt/cams-relay /opt/cams-relay

ENV PATH=/opt/cams-relay/bin:$PATH \
    RELAY_DATA_DIR=/data \
    HOST=0.0.0.0 \
    PORT=8000 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
ARG VERSION=1.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="cams-relay" \
      org.opencontainers.image.description="Attendance events of biometric machines as webhooks, and their commands as an API" \
      org.opencontainers.image.source="https://github.com/cams-relay/cams-relay" \
      org.opencontainers.image.documentation="https://github.com/cams-relay/cams-relay/blob/main/docs/install.md" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python3", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/health', timeout=4)"]
ENTRYPOINT ["tini", "--", "cams-relay"]
CMD ["up"]
