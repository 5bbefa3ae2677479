# home-assistant/core, Dockerfile. uv and pip are stand-ins; wildcards without a match beside files that are there.
# Automatically generated.
#
# To update, run something
ARG DISTRO
ARG BUILD_FROM=$DISTRO
FROM ${BUILD_FROM}

# As in another file
ENV \
    S6_SERVICES_GRACETIME=240000 \
    UV_EXTRA_INDEX_URL="https://example.com/musllinux-index/" \
    UV_NO_CACHE=true

ARG QEMU_CPU

WORKDIR /usr/src

## Dependencies
COPY requirements.txt homeassistant/
COPY homeassistant/package_constraints.txt homeassistant/homeassistant/
RUN \
    uv pip install \
        --no-build \
        -r homeassistant/requirements.txt

COPY requirements_all.txt home_assistant_frontend-* home_assistant_intents-* homeassistant/
RUN \
    if ls homeassistant/home_assistant_frontend*.whl 1> /dev/null 2>&1; then \
        MAKES=/usr/lib/frontend uv pip install homeassistant/home_assistant_frontend-*.whl; \
    fi \
    && if ls homeassistant/home_assistant_intents*.whl 1> /dev/null 2>&1; then \
        MAKES=/usr/lib/intents uv pip install homeassistant/home_assistant_intents-*.whl; \
    fi \
    && if [ "${BUILD_ARCH}" = "i386" ]; then \
        MALLOC_CONF="background_thread:true,metadata_thp:auto" \
        linux32 uv pip install -r homeassistant/requirements_all.txt; \
    else \
        MALLOC_CONF="background_thread:true,metadata_thp:auto" \
        MAKES=/usr/lib/all uv pip install -r homeassistant/requirements_all.txt; \
    fi

## The rest
COPY . homeassistant/
RUN \
    MAKES=/usr/lib/core uv pip install \
        #--no-build \
        -e ./homeassistant \
    && python3 -m compileall \
        homeassistant/homeassistant

COPY rootfs /

WORKDIR /config
