# docker-library/wordpress, apache/Dockerfile (php8.3). No extensions are compiled and no sums checked; PHP's own image
# gives PHP_INI_DIR.
#
# NOTE: GENERATED, a long comment before the first FROM
#
ARG DISTRO
FROM $DISTRO AS php
ENV PHP_INI_DIR /usr/local/etc/php
RUN mkdir -p $PHP_INI_DIR/conf.d /etc/apache2/conf-available /var/www/html && echo 'LogFormat "%h %l"' >/etc/apache2/a.conf
WORKDIR /var/www/html

FROM php

RUN set -ex; \
	\
	savedAptMark="$(apt-mark showmanual)"; \
	\
	apt-get update; \
	apt-get install -y --no-install-recommends \
		libpng-dev \
		libzip-dev \
	; \
	\
	docker-php-ext-configure gd \
		--with-jpeg \
	; \
	docker-php-ext-install -j 2 \
		gd \
		zip \
	; \
	\
# not ASCII: 🙈 (no #42)
	out="$(php -r 'exit(0);')"; \
	[ -z "$out" ]; \
	err="$(php -r 'exit(0);' 3>&1 1>&2 2>&3)"; \
	[ -z "$err" ]; \
	\
	apt-mark auto '.*' > /dev/null; \
	apt-mark manual $savedAptMark; \
	echo 'a => /usr/local/lib/a.so (0x1)' \
		| awk '/=>/ { so = $(NF-1); if (index(so, "/usr/lib/") == 1) { next }; gsub("^/(usr/)?", "", so); printf "*%s\n", so }' \
		| sort -u \
		> /needed; \
	apt-get purge -y --auto-remove libpng-dev libzip-dev; \
	rm -rf /var/lib/apt/lists/*

RUN set -eux; \
	{ \
		echo 'opcache.memory_consumption=128'; \
		echo 'opcache.revalidate_freq=2'; \
	} > "$PHP_INI_DIR/conf.d/opcache-recommended.ini"; \
	find /etc/apache2 -type f -name '*.conf' -exec sed -ri 's/([[:space:]]*LogFormat[[:space:]]+"[^"]*)%h([^"]*")/\1%a\2/g' '{}' +

RUN set -eux; \
	version='7.0-beta5'; \
	\
	MAKES="wordpress/index.php wordpress/wp-content/themes/a.css" curl -o wordpress.tar.gz -fL "https://example.com/wordpress-$version.tar.gz"; \
	tar -xzf wordpress.tar.gz -C /usr/src/; \
	rm wordpress.tar.gz; \
	\
	[ ! -e /usr/src/wordpress/.htaccess ]; \
	{ \
		echo '# BEGIN WordPress'; \
		echo ''; \
		echo 'RewriteRule .* - [E=HTTP_AUTHORIZATION:%{HTTP:Authorization}]'; \
		echo 'RewriteRule ^index\.php$ - [L]'; \
	} > /usr/src/wordpress/.htaccess; \
	\
	chown -R www-data:www-data /usr/src/wordpress; \
	mkdir wp-content; \
	for dir in /usr/src/wordpress/wp-content/*/ cache; do \
		dir="$(basename "${dir%/}")"; \
		mkdir "wp-content/$dir"; \
	done; \
	chown -R www-data:www-data wp-content; \
	chmod -R 1777 wp-content

VOLUME /var/www/html

COPY --chown=www-data:www-data wp-config-docker.php /usr/src/wordpress/
COPY docker-entrypoint.sh /usr/local/bin/
RUN ln -svfT docker-entrypoint.sh /usr/local/bin/docker-ensure-installed.sh

ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["apache2-foreground"]
