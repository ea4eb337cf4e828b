# What an online deployment runs in: as the others, and Microsoft's inference server answers. Azure ML puts the code at
# AML_APP_ROOT when it starts the image, and says by AZUREML_ENTRY_SCRIPT which of its files is the scoring script.
# Docker's own image, from Microsoft's mirror: Docker Hub turns away anonymous pulls of build agents that share addresses.
FROM mcr.microsoft.com/mirror/docker/library/python:3.11-slim@sha256:193fdd0bbcb3d2ae612bd6cc3548d2f7c78d65b549fcaa8af75624c47474444d

COPY requirements.txt /tmp/requirements.txt
# --no-deps: the file is complete.
RUN python -m pip install --no-cache-dir --no-deps --require-hashes -r /tmp/requirements.txt

EXPOSE 5001
CMD ["sh", "-c", "cd \"$AML_APP_ROOT\" && exec azmlinfsrv --entry_script \"${AZUREML_ENTRY_SCRIPT#/}\" --port 5001"]
