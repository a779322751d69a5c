# The service in a container: built in one stage, run in another by a user without rights.
# Build: docker build -t fairtrial .     Run: docker compose up

FROM python:3.11-slim AS build
WORKDIR /build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/fairtrial
COPY pyproject.toml README.md LICENSE CHANGELOG.md requirements.lock ./
COPY src ./src
# The lock pins every library; the package itself decides which of them it needs.
RUN sed -n 's/^\([A-Za-z0-9_.-]*==[^ ;\\]*\).*/\1/p' requirements.lock > constraints.txt \
 && /opt/fairtrial/bin/pip install --constraint constraints.txt ".[service]"

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin fairtrial \
 && install -d -o fairtrial -g fairtrial /var/lib/fairtrial
COPY --from=build /opt/fairtrial /opt/fairtrial
ENV PATH=/opt/fairtrial/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    FAIRTRIAL_HOST=0.0.0.0 \
    FAIRTRIAL_PORT=8000 \
    FAIRTRIAL_LOG_FORMAT=json \
    FAIRTRIAL_DATABASE_URL=sqlite:////var/lib/fairtrial/fairtrial.db
USER 10001
WORKDIR /var/lib/fairtrial
VOLUME /var/lib/fairtrial
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
ENTRYPOINT ["fairtrial"]
CMD ["serve"]
