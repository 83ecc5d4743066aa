"""Lightning callbacks: run folder, reports and written embeddings."""
