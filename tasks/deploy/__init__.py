"""Give a trained model away: a tagger or a classifier as one ONNX file, and a reader that needs no torch.

    cellzoo run wnut17 --cells darts-v2 --keep-models
    cellzoo export results/records/wnut17--darts-v2--seed0--….json --out tagger.onnx

    from tasks.deploy.reader import load
    tagger = load("tagger.onnx")
    tagger.spans(["Ada", "is", "in", "Paris"])       # [(0, 1, "person"), (3, 4, "location")]

One sentence, or one example, is one call. The file holds everything from the numbers of words to tags or
classes; which word has which number, and how a text becomes words, stands in its metadata under `cellzoo`, as
JSON (`tasks.deploy.reading`).
"""
