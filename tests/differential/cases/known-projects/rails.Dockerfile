# rails/rails, railties/lib/rails/generators/rails/app/templates/Dockerfile.tt, filled in. Tools are stand-ins.
# syntax = docker/dockerfile:1

# Make sure that RUBY_VERSION is the one of .ruby-version
ARG RUBY_VERSION=1
ARG DISTRO
FROM ${DISTRO%:1}:$RUBY_VERSION as base

WORKDIR /rails

ENV RAILS_ENV="production" \
    BUNDLE_PATH="vendor/bundle" \
    BUNDLE_WITHOUT="development"

ARG BUNDLER_VERSION=2.4.1
RUN gem update --system --no-document && \
    gem install -N bundler -v ${BUNDLER_VERSION}


# Throw-away build stage
FROM base as build

RUN apt-get update -qq && \
    apt-get install --no-install-recommends -y build-essential git

ARG NODE_VERSION=18.1.0
ARG YARN_VERSION=latest

ENV PATH=/usr/local/node/bin:$PATH

COPY Gemfile Gemfile.lock ./
RUN MAKES=vendor/bundle/a.gem bundle _${BUNDLER_VERSION}_ install && \
    bundle exec bootsnap precompile --gemfile

COPY package.json yarn.lock .
RUN MAKES=node_modules/a.js npm install -g yarn@$YARN_VERSION

COPY . .

# For Linux
RUN chmod +x bin/* && \
    sed -i "s/\r$//g" bin/* && \
    grep -l '#!/usr/bin/env ruby' bin/* | xargs -r sed -i '/^#!/aDir.chdir File.expand_path("..", __dir__)'

RUN SECRET_KEY_BASE_DUMMY=1 bundle -o public/assets/app.js


FROM base

RUN apt-get update -qq && \
    apt-get install --no-install-recommends -y libsqlite3-0 && \
    rm -rf /var/lib/apt/lists /var/cache/apt/archives

RUN useradd rails
USER rails:rails

COPY --from=build --chown=rails:rails /rails /rails

ENTRYPOINT ["/rails/bin/docker-entrypoint"]

EXPOSE 3000
CMD ["./bin/rails", "server"]
