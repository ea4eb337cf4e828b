# What a batch deployment runs in. Azure ML runs it as a parallel job, whose programs it brings itself: they need
# azureml-core in the Python that the scoring script has, and what the image of Microsoft's samples of batch deployments
# has (ps for its monitor, fuse for mounts). That image's Python is conda's own; ours comes beside it, as in the samples.
FROM mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04@sha256:7481fbfbbc1c7d7ab0e9e4633180c809413bd77e108b605d6e4d3a60aa35bf67

ENV CONDA_DEFAULT_ENV=/azureml-envs/batch
RUN conda create --yes --quiet --prefix "$CONDA_DEFAULT_ENV" --override-channels --channel conda-forge python=3.11 pip \
    && conda clean --all --yes
ENV PATH="$CONDA_DEFAULT_ENV/bin:$PATH"

COPY requirements.txt /tmp/requirements.txt
# --no-deps: the file is complete.
RUN python -m pip install --no-cache-dir --no-deps --require-hashes -r /tmp/requirements.txt
