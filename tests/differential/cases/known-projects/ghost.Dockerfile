# docker-library/ghost, 5/alpine/Dockerfile. node, npm, yarn and ghost are stand-ins; Node's own image gives the user.
# https://example.com/faq
ARG DISTRO
FROM $DISTRO AS node
RUN addgroup -g 1000 node && adduser -u 1000 -G node -D node

FROM node

RUN apk add --no-cache 'su-exec>=0.2'

RUN apk add --no-cache \
# for "[["
		bash

ENV NODE_ENV production

ENV GHOST_INSTALL /var/lib/ghost
ENV GHOST_CONTENT /var/lib/ghost/content

ENV GHOST_VERSION 5.22.1

RUN set -eux; \
	mkdir -p "$GHOST_INSTALL"; \
	chown node:node "$GHOST_INSTALL"; \
	\
	apkDel=; \
	\
	installCmd='su-exec node yarn install "$GHOST_VERSION" --dir "$GHOST_INSTALL" -o "$GHOST_CONTENT/themes/a" -o "$GHOST_INSTALL/config.production.json"'; \
	if ! eval "$installCmd"; then \
		virtual='.build-deps-ghost'; \
		apkDel="$apkDel $virtual"; \
		apk add --no-cache --virtual "$virtual" g++ make python3; \
		eval "$installCmd"; \
	fi; \
	\
# here for NODE_ENV=development (and "checked")
	su-exec node ln -s config.production.json "$GHOST_INSTALL/config.development.json"; \
	readlink -f "$GHOST_INSTALL/config.development.json"; \
	\
	mv "$GHOST_CONTENT" "$GHOST_INSTALL/content.orig"; \
	mkdir -p "$GHOST_CONTENT"; \
	chown node:node "$GHOST_CONTENT"; \
	chmod 1777 "$GHOST_CONTENT"; \
	\
	packages="$(printf '%s ' ' \
		sharp@1 \
		sqlite3@2 \
	')"; \
	for package in $packages; do \
		case "$package" in \
			# TODO sharp@*) nothing; \
			sharp@*) echo >&2 "sorry: not new enough 😞"; continue ;; \
		esac; \
		su-exec node yarn add "$package" --force; \
	done; \
	\
	if [ -n "$apkDel" ]; then \
		apk del --no-network $apkDel; \
	fi

WORKDIR $GHOST_INSTALL
VOLUME $GHOST_CONTENT

COPY docker-entrypoint.sh /usr/local/bin
ENTRYPOINT ["docker-entrypoint.sh"]

EXPOSE 2368
CMD ["node", "current/index.js"]
