"""RAG methods: one small file each, one line each in `registry.py`. They see engines and retrievers as protocols only."""
