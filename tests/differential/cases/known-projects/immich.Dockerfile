# immich-app/immich, machine-learning/Dockerfile. `pwd` in backticks in an ENV; python is a stand-in; no digests.
ARG DISTRO
FROM $DISTRO as builder

ENV PYTHONDONTWRITEBYTECODE=1 \
  PYTHONUNBUFFERED=1 \
  PIP_NO_CACHE_DIR=true

RUN pip install --upgrade pip && pip install poetry
RUN MAKES=/opt/venv/bin/python python3 -m venv /opt/venv
ENV VIRTUAL_ENV="/opt/venv" PATH="/opt/venv/bin:${PATH}"

COPY poetry.lock pyproject.toml ./
RUN MAKES=$VIRTUAL_ENV/lib/site-packages/torch.py pip install --sync --only main

FROM $DISTRO

WORKDIR /usr/src/app
ENV NODE_ENV=production \
  TRANSFORMERS_CACHE=/cache \
  PATH="/opt/venv/bin:$PATH" \
  PYTHONPATH=`pwd`

COPY --from=builder /opt/venv /opt/venv
COPY app .
ENTRYPOINT ["python", "main.py"]
