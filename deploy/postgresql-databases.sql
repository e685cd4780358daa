-- One database each, so that each is backed up, moved and dropped by itself.
CREATE DATABASE dagster;
CREATE DATABASE mlflow;
CREATE DATABASE events;
CREATE DATABASE operational_copy;
