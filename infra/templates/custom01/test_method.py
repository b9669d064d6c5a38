"""Tests of your own. Run them with: pytest"""

from method import Options, encoded


class Words:
    """A tokenizer as simple as can be: a word is a token, and its length is its number."""

    eos_token_id = 0

    def apply_chat_template(self, messages, add_generation_prompt=False, return_dict=False):
        words = [word for message in messages for word in (message["role"], *message["content"].split())]
        return [len(word) for word in words + ["assistant"] * add_generation_prompt]


def test_only_what_the_assistant_says_is_learned():
    row = {"messages": [{"role": "user", "content": "one two"}, {"role": "assistant", "content": "three"}]}
    ids, learned = encoded(Words(), row)
    assert ids == [4, 3, 3, 9, 5]
    assert learned[:4] in ([-100] * 4, [0] * 4)
    assert learned[4] in (5, 1)


def test_the_defaults_are_within_their_limits():
    Options.model_validate(Options().model_dump())
