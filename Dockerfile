# The service alone; PostgreSQL is yours (DATABASE_URL). Build: docker build -t kafang .
# Run: docker run -p 8321:8321 -e DATABASE_URL=… -e KAFANG_SECRET_KEY=… -e KAFANG_KEKS=… -e KAFANG_KEY_STORE=… kafang
FROM python:3.13-slim

WORKDIR /kafang
# With tracing: --build-arg LOCK=requirements.otel.lock
ARG LOCK=requirements.runtime.lock
COPY ${LOCK} ./
RUN pip install --no-cache-dir --require-hashes -r "${LOCK}"
COPY service ./service
COPY schemas ./schemas
COPY sql ./sql
RUN useradd --system --uid 10001 kafang && install -d -o kafang /data

USER 10001
ENV KAFANG_HOST=0.0.0.0 KAFANG_DATA_DIR=/data
EXPOSE 8321
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8321/health/ready', timeout=2)"]
ENTRYPOINT ["python", "-m", "service"]
CMD ["run"]
