"""The client of OpenAI, unchanged, against a server whose model `embed` gives the length of a text, 1 and 3."""

import sys

import openai

client = openai.OpenAI(base_url=f"http://{sys.argv[1]}/v1", api_key="none", max_retries=0)

assert {model.id for model in client.models.list()} >= {"embed", "m"}
assert client.models.retrieve("embed").object == "model"

# Without a word on the format the client asks for base 64, and decodes it.
answer = client.embeddings.create(model="embed", input=["four", "five five"])
assert [item.embedding for item in answer.data] == [[4.0, 1.0, 3.0], [9.0, 1.0, 3.0]], answer
assert [item.index for item in answer.data] == [0, 1]
assert answer.usage.prompt_tokens == 3

answer = client.embeddings.create(model="embed", input="four", encoding_format="float", dimensions=2)
first, second = answer.data[0].embedding
assert abs(first**2 + second**2 - 1) < 1e-6 and abs(first / second - 4) < 1e-6

for arguments, kind in [
    ({"model": "none", "input": "a"}, openai.NotFoundError),
    ({"model": "embed", "input": []}, openai.BadRequestError),
    ({"model": "embed", "input": "fail"}, openai.InternalServerError),
]:
    try:
        client.embeddings.create(**arguments)
    except kind as error:
        assert error.body["message"], error
    else:
        raise AssertionError(f"{arguments} went well")

print("all is well")
