"""RAG methods: a small file and a line in `registry.py` each. They see engines and retrievers as protocols only."""
