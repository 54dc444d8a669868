{#- Gives the months of month_quality the verdicts of figures that have just landed. Not by `ref`: it is
    built after the figures. Nothing where it isn't there yet, or is of an earlier version. -#}
{% macro refresh_verdicts() %}
    {%- if not execute -%}{{ return('') }}{%- endif -%}
    {%- set mart = load_relation(api.Relation.create(
        database=target.database, schema=generate_schema_name('tlc_marts', none), identifier='month_quality'
    )) -%}
    {%- set verdicts = load_relation(api.Relation.create(
        database=target.database, schema=generate_schema_name('tlc', none), identifier='official_verdicts'
    )) -%}
    {%- set columns = adapter.get_columns_in_relation(mart) | map(attribute='name') | list if mart else [] -%}
    {%- if not verdicts or 'official_verdict' not in columns -%}{{ return('') }}{%- endif -%}
    update {{ mart }} as mart
    set
        official_trips = verdicts.official_trips,
        official_difference = verdicts.official_difference,
        official_share = verdicts.official_share,
        official_verdict = verdicts.official_verdict
    from {{ verdicts }} as verdicts
    where
        mart.dataset = verdicts.dataset
        and mart.file_month = verdicts.file_month
        and (
            mart.official_trips is distinct from verdicts.official_trips
            or mart.official_difference is distinct from verdicts.official_difference
            or mart.official_verdict is distinct from verdicts.official_verdict
        )
{% endmacro %}
