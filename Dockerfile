# docker build -t lowres . && docker run --rm -v "$PWD/out:/book/_build" lowres
FROM python:3.12-slim
RUN apt-get update && apt-get install -y --no-install-recommends make git && rm -rf /var/lib/apt/lists/*
WORKDIR /book
ENV OMP_NUM_THREADS=1 PIP_NO_CACHE_DIR=1
COPY . .
RUN make .venv/.lowres-installed
CMD ["make", "book"]
