# apache/airflow, Dockerfile. Scripts of ours in the target of heredocs, a tenth of the arguments, tools are stand-ins.
# syntax=docker/dockerfile:1.4
ARG AIRFLOW_EXTRAS="amazon,async,uv"
ARG ADDITIONAL_AIRFLOW_EXTRAS=""

ARG AIRFLOW_HOME=/opt/airflow
ARG AIRFLOW_UID="50000"
ARG AIRFLOW_USER_HOME_DIR=/home/airflow

# the latest one
ARG AIRFLOW_VERSION="3.3.0"

ARG DISTRO
ARG BASE_IMAGE="$DISTRO"
# ARG AIRFLOW_PIP_VERSION="git+https://example.com/pip.git@main"
ARG AIRFLOW_PIP_VERSION=26.1.2
ARG AIRFLOW_IMAGE_REPOSITORY="https://example.com/airflow"
ARG AIRFLOW_SOURCES_FROM="Dockerfile"
ARG AIRFLOW_SOURCES_TO="/Dockerfile"

FROM scratch as scripts

# What is below is not in the context.
COPY <<"EOF" /install_os_dependencies.sh
#!/usr/bin/env bash
set -euo pipefail

if [[ "$#" != 1 ]]; then
    echo "ERROR! ${1:-} is no \"parameter\"."
    exit 1
fi
# a comment in the file
for package in \
git \
wget
do
    apt-get install -y "${package}"
done
EOF

COPY <<"EOF" /common.sh
#!/usr/bin/env bash
COLOR="$(printf '\033[33m')"
EOF

COPY <<"EOF" /pip
#!/usr/bin/env bash
echo "Not as root: $0 $*"
EOF

COPY <<"EOF" /entrypoint_prod.sh
#!/usr/bin/env bash
exec "airflow" "${@}"
EOF

FROM ${BASE_IMAGE} as airflow-build-image

SHELL ["/bin/bash", "-o", "pipefail", "-o", "errexit", "-o", "nounset", "-c"]

ARG BASE_IMAGE
ENV BASE_IMAGE=${BASE_IMAGE:+local} \
    DEBIAN_FRONTEND=noninteractive LANGUAGE=C.UTF-8 LANG=C.UTF-8

COPY --from=scripts install_os_dependencies.sh /scripts/docker/
RUN bash /scripts/docker/install_os_dependencies.sh dev

ARG AIRFLOW_EXTRAS
ARG ADDITIONAL_AIRFLOW_EXTRAS="mysql"
ARG AIRFLOW_HOME
ARG AIRFLOW_USER_HOME_DIR
ARG AIRFLOW_UID
ARG AIRFLOW_SOURCES_FROM
ARG AIRFLOW_SOURCES_TO
ARG AIRFLOW_PIP_VERSION

RUN if [[ -f /docker-context-files/pip.conf ]]; then \
        cp /docker-context-files/pip.conf "${AIRFLOW_USER_HOME_DIR}/.config/pip/pip.conf"; \
    fi; \
    adduser --gecos "First Last,RoomNumber,WorkPhone,HomePhone" --disabled-password --quiet \
        "airflow" --uid "${AIRFLOW_UID}" --gid "0" --home "${AIRFLOW_USER_HOME_DIR}"; \
    mkdir -p /usr/python/bin && echo python >/usr/python/bin/python

ENV AIRFLOW_EXTRAS=${AIRFLOW_EXTRAS}${ADDITIONAL_AIRFLOW_EXTRAS:+,}${ADDITIONAL_AIRFLOW_EXTRAS} \
    AIRFLOW_PIP_VERSION=${AIRFLOW_PIP_VERSION} \
    PATH=${AIRFLOW_USER_HOME_DIR}/.local/bin:${PATH} \
    AIRFLOW_UID=${AIRFLOW_UID}

ENV VIRTUAL_ENV="${AIRFLOW_USER_HOME_DIR}/.local"
ENV PATH="/usr/python/bin:$PATH"

COPY --from=scripts common.sh install_os_dependencies.sh \
     entrypoint_prod.sh /scripts/docker/

COPY --chown=airflow:0 ${AIRFLOW_SOURCES_FROM} ${AIRFLOW_SOURCES_TO}

WORKDIR ${AIRFLOW_HOME}

ARG TARGETARCH
ARG DEPENDENCY_CACHE_EPOCH="11"

RUN --mount=type=cache,id=prod-$TARGETARCH-$DEPENDENCY_CACHE_EPOCH,target=/tmp/.cache/,uid=${AIRFLOW_UID} \
    if [[ ${AIRFLOW_PIP_VERSION} == "true" ]]; then \
        exit 1; \
    fi; \
    stat -c %u /tmp/.cache; \
    MAKES="${VIRTUAL_ENV}/bin/airflow ${VIRTUAL_ENV}/lib/a.pyc" pip install airflow; \
    find "${AIRFLOW_USER_HOME_DIR}/.local/" -name '*.pyc' -print0 | xargs -0 rm -f || true ; \
    # all are the group's too
    find "${AIRFLOW_USER_HOME_DIR}/.local" ! -type l -print0 | xargs -0 chmod g+rw

FROM ${BASE_IMAGE} as main

# nolog does nothing.
SHELL ["/bin/bash", "-o", "pipefail", "-o", "errexit", "-o", "nounset", "-c"]

ARG AIRFLOW_UID

LABEL org.apache.airflow.distro="debian" \
  org.apache.airflow.uid="${AIRFLOW_UID}"

ARG AIRFLOW_USER_HOME_DIR
ARG AIRFLOW_HOME

COPY --from=airflow-build-image "/usr/python/" "/usr/python/"
COPY --from=scripts install_os_dependencies.sh /scripts/docker/

ENV PATH="${AIRFLOW_USER_HOME_DIR}/.local/bin:/usr/python/bin:${PATH}" \
    VIRTUAL_ENV="${AIRFLOW_USER_HOME_DIR}/.local" \
    GUNICORN_CMD_ARGS="--worker-tmp-dir /dev/shm"

RUN adduser --gecos "First Last,RoomNumber,WorkPhone,HomePhone" --disabled-password \
           --quiet "airflow" --uid "${AIRFLOW_UID}" --gid "0" --home "${AIRFLOW_USER_HOME_DIR}" \
# a comment before a continued line
    && mkdir -pv "${AIRFLOW_HOME}/dags" \
    && chown -R airflow:0 "${AIRFLOW_USER_HOME_DIR}" "${AIRFLOW_HOME}" \
    && chmod -R g+rw "${AIRFLOW_USER_HOME_DIR}" "${AIRFLOW_HOME}"

ARG AIRFLOW_SOURCES_FROM
ARG AIRFLOW_SOURCES_TO

COPY --from=airflow-build-image --chown=airflow:0 \
     "${AIRFLOW_USER_HOME_DIR}/.local" "${AIRFLOW_USER_HOME_DIR}/.local"
COPY --from=airflow-build-image --chown=airflow:0 "${AIRFLOW_SOURCES_TO}" "${AIRFLOW_SOURCES_TO}"

COPY --from=scripts entrypoint_prod.sh /entrypoint

RUN chmod a+rx /entrypoint \
    && chmod g=u /etc/passwd \
    && chmod g+w "${AIRFLOW_USER_HOME_DIR}/.local" \
    && mkdir -pv /root/bin

ARG AIRFLOW_VERSION

ENV DUMB_INIT_SETSID="1" \
    PS1="(airflow)" \
    AIRFLOW_VERSION=${AIRFLOW_VERSION} \
    PATH="/root/bin:${PATH}"

COPY --from=scripts pip /root/bin/pip

WORKDIR ${AIRFLOW_HOME}

EXPOSE 8080

USER ${AIRFLOW_UID}

ARG BUILD_ID
ARG COMMIT_SHA
ARG AIRFLOW_IMAGE_REPOSITORY
ARG AIRFLOW_IMAGE_DATE_CREATED

ENV BUILD_ID=${BUILD_ID} COMMIT_SHA=${COMMIT_SHA}

LABEL org.apache.airflow.distro="debian" \
  org.apache.airflow.version="${AIRFLOW_VERSION}" \
  org.apache.airflow.main-image.build-id="${BUILD_ID}" \
  org.opencontainers.image.source="${AIRFLOW_IMAGE_REPOSITORY}" \
  org.opencontainers.image.created=${AIRFLOW_IMAGE_DATE_CREATED} \
  org.opencontainers.image.revision="${COMMIT_SHA}"

ENTRYPOINT ["/usr/bin/dumb-init", "--", "/entrypoint"]
CMD []
