# One image for every app: the compose file says which one a container runs. Node runs TypeScript
# by stripping the types, so nothing is compiled.

FROM node:26-bookworm-slim AS manifests
WORKDIR /app
COPY . .
# Only what npm reads, so that a change of the source does not install everything again.
RUN find apps libs tests -type f ! -name package.json -delete \
  && find apps libs tests -type d -empty -delete \
  && rm -rf deploy ephemera.yml

FROM node:26-bookworm-slim AS packages
WORKDIR /app
COPY --from=manifests /app ./
# The optional packages carry a Node of their own, which this image has already.
RUN npm ci --omit=dev --omit=optional --no-audit --no-fund && npm cache clean --force

FROM node:26-bookworm-slim
# iptables for the container of a moment that sets the firewall rules of a host, made of this same image.
# busybox-static is what the worker offers to containers for file operations.
RUN apt-get update \
  && apt-get install -y --no-install-recommends iptables busybox-static \
  # Logs and caches with the time of the build: two builds have equal files.
  && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/*.log /var/cache/apt/*.bin /var/cache/ldconfig
WORKDIR /app
# V8 would let the space for new objects grow under load, to no use; see docs/PERFORMANCE.md.
ENV NODE_ENV=production EPHEMERA_HOST=0.0.0.0 NODE_OPTIONS=--max-semi-space-size=8
COPY --from=packages /app ./
COPY ephemera.yml ./
COPY deploy/check-ready.mjs deploy/
COPY libs libs
COPY apps apps
# The worker alone is run as root, which the Docker socket belongs to.
USER node
CMD ["node", "apps/proxy/src/main.ts"]
