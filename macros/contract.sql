{#- The declarations of models/sources, by dataset: the columns that come from the file or are computed of
    those, each with name, data_type and meta. Empty while dbt parses; a unit test, which gets no graph, overrides it. -#}
{% macro contracts() %}
    {%- set found = {} -%}
    {%- if execute -%}
        {%- for table in graph.sources.values() | sort(attribute='name') if table.config.meta.first_month is defined -%}
            {%- set columns = [] -%}
            {%- for column in table.columns.values() if column.config.meta -%}
                {%- do columns.append({'name': column.name, 'data_type': column.data_type, 'meta': column.config.meta}) -%}
            {%- endfor -%}
            {%- do found.update({dataset_of(table): columns}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(found) }}
{% endmacro %}


{% macro datasets() %}
    {{ return(contracts().keys() | list) }}
{% endmacro %}


{#- The dataset of a raw or trips table. -#}
{% macro dataset_of(relation) %}
    {{ return(relation.identifier | replace('_tripdata', '')) }}
{% endmacro %}


{#- Declared types by name of column, for each dataset. Unit tests override it. -#}
{% macro column_types() %}
    {%- set found = {} -%}
    {%- for dataset, columns in contracts().items() -%}
        {%- for column in columns -%}
            {%- do found.setdefault(dataset, {}).update({column.name: column.data_type}) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}


{% macro typed_columns(dataset) %}
    {%- set typed = [] -%}
    {%- for column in contracts().get(dataset, []) -%}
        {%- if column.data_type == 'timestamp' -%}
            {%- do typed.append(wall_clock(column.name) ~ ' as ' ~ column.name) -%}
        {%- elif column.data_type == 'text' -%}
            {%- do typed.append('cast(' ~ column.name ~ ' as ' ~ dbt.type_string() ~ ') as ' ~ column.name) -%}
        {%- else -%}
            {%- do typed.append(column.name) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(typed) }}
{% endmacro %}


{#- Raw tables of earlier versions have codes as integers. -#}
{% macro trip_columns(dataset) %}
    {%- set found = [] -%}
    {%- for column in contracts().get(dataset, []) -%}
        {%- if column.data_type == 'smallint' -%}
            {%- do found.append('cast(' ~ column.name ~ ' as smallint) as ' ~ column.name) -%}
        {%- else -%}
            {%- do found.append(column.name) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}


{#- Columns that are numbered in the declaration, as `key` or `tie_breaker`, in that order. -#}
{% macro numbered_columns(dataset, number) %}
    {%- set columns = contracts().get(dataset, []) | selectattr('meta.' ~ number, 'defined') -%}
    {{ return(columns | sort(attribute='meta.' ~ number) | list) }}
{% endmacro %}


{% macro datasets_of_kind(kind) %}
    {%- set found = [] -%}
    {%- for table in (graph.sources.values() if execute else []) if table.config.meta.kind == kind -%}
        {%- do found.append(dataset_of(table)) -%}
    {%- endfor -%}
    {{ return(found | sort) }}
{% endmacro %}


{#- A dataset of no kind has no marts. -#}
{% macro datasets_with_marts() %}
    {{ return(datasets_of_kind('taxi') + datasets_of_kind('app')) }}
{% endmacro %}
