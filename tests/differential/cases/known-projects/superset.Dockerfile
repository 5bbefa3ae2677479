# apache/superset, Dockerfile. Node and Python are stand-ins; the dev image is not here. Its default of BUILDPLATFORM is.
ARG PY_VER=1
ARG DISTRO

ARG BUILDPLATFORM=${BUILDPLATFORM:-amd64}
FROM --platform=${BUILDPLATFORM} $DISTRO AS superset-node

ARG NPM_BUILD_CMD="build"

ENV BUILD_CMD=${NPM_BUILD_CMD} \
    PUPPETEER_SKIP_CHROMIUM_DOWNLOAD=true
WORKDIR /app/superset-frontend

RUN --mount=type=bind,target=/frontend-mem-nag.sh,src=./docker/frontend-mem-nag.sh \
    /frontend-mem-nag.sh

RUN --mount=type=bind,target=./package.json,src=./superset-frontend/package.json \
    --mount=type=bind,target=./package-lock.json,src=./superset-frontend/package-lock.json \
    MAKES="node_modules/a/index.js" npm ci && cat package.json

COPY ./superset-frontend ./
RUN npm run ${BUILD_CMD}

WORKDIR /app
COPY superset/translations ./superset/translations
COPY ./scripts/translations/po2json.sh ./scripts/translations/po2json.sh
RUN ./scripts/translations/po2json.sh

FROM ${DISTRO%:*}:${PY_VER} AS lean

WORKDIR /app
ENV LANG=C.UTF-8 \
    FLASK_APP="superset.app:create_app()" \
    PYTHONPATH="/app/pythonpath" \
    SUPERSET_HOME="/app/superset_home" \
    SUPERSET_PORT=8088

RUN mkdir -p ${PYTHONPATH} superset/static/translations requirements superset-frontend \
    && useradd --user-group -d ${SUPERSET_HOME} -m --no-log-init --shell /bin/bash superset \
    && touch superset/static/version_info.json \
    && chown -R superset:superset ./* \
    && rm -rf /var/lib/apt/lists/*

COPY --chown=superset:superset pyproject.toml setup.py README.md ./
# the version is in there
COPY --chown=superset:superset superset-frontend/package.json superset-frontend/
COPY --chown=superset:superset requirements/base.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    apt-get update -qq && apt-get install -yqq --no-install-recommends \
      build-essential \
    && pip install -r requirements/base.txt \
    && apt-get remove -yqq --purge build-essential \
    && rm -rf /var/lib/apt/lists/*

COPY --chown=superset:superset --from=superset-node /app/superset/static/assets superset/static/assets

COPY --chown=superset:superset --from=superset-node /app/superset/translations/*/LC_MESSAGES/*.json superset/static/translations

COPY --chown=superset:superset superset superset

COPY --chmod=755 ./docker/run-server.sh /usr/bin/
USER superset

HEALTHCHECK CMD curl -f "http://localhost:${SUPERSET_PORT}/health"

EXPOSE ${SUPERSET_PORT}

CMD ["/usr/bin/run-server.sh"]

FROM lean AS dev
USER root
RUN exit 1

FROM lean AS ci

COPY --chown=superset:superset --chmod=755 ./docker/*.sh /app/docker/

CMD ["/app/docker/docker-ci.sh"]
