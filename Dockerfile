# The image of tollgate: the program, the libraries that it is linked to, and nothing else: no
# shell, no package manager. See docs/deploy.md.
#
#   docker build -t tollgate .
#
# RUST_IMAGE may pin a digest: --build-arg RUST_IMAGE=rust:1.95.0-bookworm@sha256:...
# A quicker build for trying, slower at run time: --build-arg CARGO_PROFILE_DIST_LTO=thin, or =off

ARG RUST_IMAGE=rust:1-bookworm

FROM ${RUST_IMAGE} AS build
WORKDIR /src
# cargo reads these from the environment; without a value Cargo.toml's profile `dist` holds
ARG CARGO_PROFILE_DIST_LTO
ARG CARGO_PROFILE_DIST_CODEGEN_UNITS
ARG CARGO_PROFILE_DIST_OPT_LEVEL

# The crates alone first: this layer is built again only when Cargo.lock changes. A context may
# bring its crates (`cargo vendor`, with .cargo/config.toml) where the build has no network; the
# patterns match nothing otherwise, and LICENSE is there because COPY wants at least one file.
COPY Cargo.toml Cargo.lock ./
COPY LICENSE .carg[o] .cargo/
COPY LICENSE vendo[r] vendor/
RUN mkdir -p src \
 && for file in src/main.rs benches/decision.rs benches/bookkeeping.rs benches/load/main.rs \
      benches/floor/main.rs benches/compare/load/main.rs; do \
      mkdir -p "$(dirname "$file")" && echo 'fn main() {}' >"$file" || exit 1; \
    done \
 && touch src/lib.rs \
 && cargo build --profile dist --locked --bin tollgate \
 && rm -r src

COPY config config
COPY src src
ARG COMMIT=unknown
# cargo goes by the time of change, and the files may be older than the stand-ins above
RUN touch src/main.rs src/lib.rs \
 && TOLLGATE_COMMIT="$COMMIT" cargo build --profile dist --locked --bin tollgate

# What the image holds: the program, what the loader will look for, who it runs as, and what
# tells a scanner which Debian packages the libraries are from.
COPY LICENSE /image/usr/share/doc/tollgate/
COPY config/catalog/README.md /image/usr/share/doc/tollgate/catalog.md
RUN install -D -t /image/usr/local/bin target/dist/tollgate \
 && ldd target/dist/tollgate >/tmp/linked \
 && grep -o '/[^ ]*' /tmp/linked >/tmp/libraries \
 && while read -r library; do install -D "$library" "/image$library" || exit 1; done </tmp/libraries \
 && for package in libc6 libgcc-s1; do \
      install -D -m 644 -t "/image/usr/share/doc/$package" "/usr/share/doc/$package/copyright" \
      && install -d /image/var/lib/dpkg/status.d \
      && dpkg-query --status "$package" >"/image/var/lib/dpkg/status.d/$package" || exit 1; \
    done \
 && mkdir -p /image/etc/tollgate /state/tollgate \
 && cp -L /etc/os-release /image/etc/os-release \
 && echo 'hosts: files dns' >/image/etc/nsswitch.conf \
 && echo 'tollgate:x:65532:65532::/var/lib/tollgate:/sbin/nologin' >/image/etc/passwd \
 && echo 'tollgate:x:65532:' >/image/etc/group

FROM scratch
ARG VERSION=0.1.0
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="tollgate" \
      org.opencontainers.image.description="An OpenAI-compatible gateway that sends each request to the cheapest backend that can handle it" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}"
COPY --from=build /image /
# copied as a child, so that every builder gives the folder this owner
COPY --from=build --chown=65532:65532 /state/ /var/lib/

# Defaults of a container: what the configuration says wins. The file is /etc/tollgate/tollgate.yaml
# if it is there; the ledger, whose name is relative, lies in the volume.
ENV TOLLGATE_LISTEN=0.0.0.0:4100 \
    TOLLGATE_ADMIN_LISTEN=0.0.0.0:4101 \
    TOLLGATE_DRAIN_DELAY=5s
WORKDIR /var/lib/tollgate
VOLUME ["/var/lib/tollgate"]
EXPOSE 4100 4101
USER 65532:65532
HEALTHCHECK --interval=10s --timeout=6s --start-period=10s --retries=3 \
  CMD ["/usr/local/bin/tollgate", "health"]
ENTRYPOINT ["/usr/local/bin/tollgate"]
CMD ["serve"]
