"""Deploy a trained tagger or classifier: export it as one ONNX file, and run it without torch.

    cellzoo run wnut17 --cells darts-v2 --keep-models
    cellzoo export results/records/wnut17--darts-v2--seed0--….json --out tagger.onnx

    from tasks.deploy.reader import load
    tagger = load("tagger.onnx")
    tagger.spans(["Ada", "is", "in", "Paris"])       # [(0, 1, "person"), (3, 4, "location")]

Each call processes one sentence or one example. The graph maps word numbers to tags or classes. The vocabulary
and the tokenisation are described as JSON in the metadata of the file, under the key `cellzoo` (see
`tasks.deploy.reading`).
"""
