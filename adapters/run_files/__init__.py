"""What lies in an artefact beside the weights, so that it explains itself wherever it is copied to.

run.json       what the run was made of and what came of it, with the hash of every other file
metrics.jsonl  every step as it was reported
curve.svg      the same as a picture
answers.json   sample answers to held-out prompts, before and after
README.md      a model card
"""

from adapters.run_files.story import RunStory
from adapters.run_files.writing import explain_export, side_by_side, weights_hash_of, write_run_files

__all__ = ["RunStory", "explain_export", "side_by_side", "weights_hash_of", "write_run_files"]
