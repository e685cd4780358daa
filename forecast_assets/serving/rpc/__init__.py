"""The gRPC door: parses calls, asks the data plane one question, renders the answer.

What belongs here: the .proto and what is generated from it, messages to questions and back, errors as statuses, health.
What does not: any answer.

After a change of `forecast_assets.proto`, in the root of the repository, with grpcio-tools 1.81.1 in an environment of
its own (its generated code is of the release of protobuf that requirements.lock has)::

    python -m grpc_tools.protoc -I. --python_out=. --grpc_python_out=. forecast_assets/serving/rpc/forecast_assets.proto
"""
