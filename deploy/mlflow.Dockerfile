# MLflow's server, of the release that the product's client is of, in an image of its own: all of MLflow needs an older pyarrow
# than the product.
#
#   docker build -f deploy/mlflow.Dockerfile -t forecast-assets-mlflow:0.1.0 .
ARG PYTHON=3.11.13-slim-bookworm
FROM python:${PYTHON}
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 DO_NOT_TRACK=true MLFLOW_DISABLE_TELEMETRY=true
COPY requirements.lock /tmp/requirements.lock
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    pip install "mlflow==$(sed -n 's/^mlflow-skinny==\([0-9.]*\).*/\1/p' /tmp/requirements.lock)" "psycopg[binary]" boto3 \
    && groupadd --gid 10001 mlflow \
    && useradd --uid 10001 --gid 10001 --create-home --shell /usr/sbin/nologin mlflow
USER 10001:10001
WORKDIR /home/mlflow
EXPOSE 5000
ENTRYPOINT ["mlflow", "server", "--host", "0.0.0.0", "--port", "5000", "--workers", "1"]
