"""What scripts/dictionary.py writes is what the models declare."""

import re

from loader.settings import PROJECT_DIR
from scripts import dictionary

#: Numbers that are neither counts nor codes, and have no unit.
WITHOUT_UNIT = re.compile(r"\w+_share|avg_monthly_passenger_count")


def test_the_dictionary_is_as_the_models_declare(manifest):
    for name, text in dictionary.written(dictionary.describe(manifest)).items():
        assert (PROJECT_DIR / name).read_text() == text, f"{name}: run scripts/dictionary.py"


def test_every_column_is_described_and_every_measure_has_a_unit(manifest):
    for table in dictionary.describe(manifest):
        assert table["description"], table["name"]
        for column in table["columns"]:
            name = f"{table['name']}.{column['name']}"
            assert column["description"], name
            if column["type"].startswith(("float", "numeric")):
                assert column["unit"] or WITHOUT_UNIT.fullmatch(column["name"]), name
