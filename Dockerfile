# cachestorm with redis-server and memcached beside it, so that `docker run cachestorm run …` needs
# nothing else. Needs BuildKit (the default since Docker 23) for the build caches.

FROM rust:1.95.0-bookworm AS build
# The image's own toolchain; without this, rustup would fetch the components of
# rust-toolchain.toml, which a build does not need.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY . .
# Dependencies stay built in the caches, whatever changes in the sources.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked && cp target/release/cachestorm /usr/local/bin/cachestorm

FROM debian:bookworm-slim
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends redis-server memcached \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home cachestorm \
    && install -d -o cachestorm -g cachestorm /cachestorm /cachestorm/reports
COPY --from=build /usr/local/bin/cachestorm /usr/local/bin/cachestorm
WORKDIR /cachestorm
COPY scenarios scenarios
USER cachestorm
ENTRYPOINT ["cachestorm"]
CMD ["--help"]
