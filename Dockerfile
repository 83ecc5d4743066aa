# sketchclip with its page to draw on and its figures.
#
#   docker build --tag sketchclip .
#   docker run --rm --network none sketchclip
#
# runs the quickstart on a CPU, without a network. For an NVIDIA GPU (driver and NVIDIA Container
# Toolkit on the host; PyTorch's CUDA libraries come with its wheel):
#
#   docker build --tag sketchclip:cuda --build-arg TORCH_INDEX= \
#     --build-arg BASE=nvidia/cuda:13.0.0-base-ubuntu24.04 .
#   docker run --rm --gpus all sketchclip:cuda
#
# Data and runs live outside: --volume /path/to/data:/data:ro --volume "$PWD/runs:/work/runs".
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

# Empty for PyTorch of PyPI, which on Linux is the one with CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

# Bases with CUDA have no Python.
RUN command -v python3 > /dev/null && python3 -c "import ensurepip" \
    || { apt-get update \
      && apt-get install --yes --no-install-recommends python3 python3-venv \
      && rm -rf /var/lib/apt/lists/*; }

RUN python3 -m venv /opt/sketchclip
ENV PATH=/opt/sketchclip/bin:$PATH

# The packages first: a change of the code does not download PyTorch again.
COPY constraints.txt /src/
RUN pip install --no-cache-dir ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
    --constraint /src/constraints.txt torch torchvision

COPY . /src/
RUN pip install --no-cache-dir ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
    --constraint /src/constraints.txt "/src[plot,search]"

# Caches outside of homes, and open to any user: with `docker run --user "$(id -u)"` runs are yours.
ENV SKETCHCLIP_CACHE=/var/cache/sketchclip HF_HOME=/var/cache/huggingface
RUN useradd --create-home sketchclip && mkdir --mode 1777 /work "$SKETCHCLIP_CACHE" "$HF_HOME"
USER sketchclip
WORKDIR /work
# Once here, so that a run unpacks nothing.
RUN python -c "from data_modules import Doodles, EmojiPairs; [x().find_root(None) for x in (Doodles, EmojiPairs)]"

# The page to draw on: docker run -p 7860:7860 sketchclip demo --host 0.0.0.0 --no-browser
EXPOSE 7860
ENTRYPOINT ["sketchclip"]
CMD ["quickstart"]
