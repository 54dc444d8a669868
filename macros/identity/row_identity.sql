{% macro row_key(dataset, relation=none) -%}
    {{ return(adapter.dispatch('row_key', 'nyc_tlc')(dataset, relation)) }}
{%- endmacro %}

{% macro default__row_key(dataset, relation) -%}
    concat_ws('|', {{ row_key_parts(dataset, relation) | join(', ') }})
{%- endmacro %}

{% macro bigquery__row_key(dataset, relation) -%}
    array_to_string([{{ row_key_parts(dataset, relation) | join(', ') }}], '|')
{%- endmacro %}

{% macro row_key_parts(dataset, relation) %}
    {%- set prefix = relation ~ '.' if relation else '' -%}
    {%- set parts = ["'" ~ dataset ~ "'", key_text(prefix ~ 'file_month', 'date')] -%}
    {%- for place in numbered_columns(dataset, 'key') | groupby('meta.key') -%}
        {%- set columns = [] -%}
        {%- for column in place.list -%}
            {%- do columns.append({
                'sql': prefix ~ column.name,
                'text': key_text(prefix ~ column.name, column.data_type, column.meta.decimals or 2),
            }) -%}
        {%- endfor -%}
        {%- do parts.append(columns[0].text if columns | length == 1 else key_text_of_place(columns)) -%}
    {%- endfor -%}
    {{ return(parts) }}
{% endmacro %}


{#- Columns of one place in the key: the others stand in where the first is NULL. -#}
{% macro key_text_of_place(columns) -%}
    {{ return(adapter.dispatch('key_text_of_place', 'nyc_tlc')(columns)) }}
{%- endmacro %}

{% macro default__key_text_of_place(columns) -%}
    {%- set others = columns[1:] -%}
    {{ columns[0].sql }},
    case
        when {{ columns[0].sql }} is not null then null
        when coalesce({{ others | join(', ', attribute='sql') }}) is null then '~'
        else concat_ws(',', {% for other in others %}concat_ws('', {{ other.text }}){{ ', ' if not loop.last }}{% endfor %})
    end
{%- endmacro %}

{% macro bigquery__key_text_of_place(columns) -%}
    {%- set others = columns[1:] -%}
    case
        when {{ columns[0].sql }} is not null then {{ columns[0].text }}
        when coalesce({{ others | join(', ', attribute='sql') }}) is null then '~'
        else array_to_string([{{ others | join(', ', attribute='text') }}], ',')
    end
{%- endmacro %}


{#- SQL for the text form of one key column. NULL is `~`. Dates are days, and times whole seconds, since
    1970 by the wall clock: no setting of the session shows in them. Doubles are hundredths, or as many
    decimals as the declaration says, rounded half up by plain IEEE arithmetic, which is the same
    everywhere, and `!` when they are infinite, not a number, or 1e15 and more. Text is quoted, so that
    none reads as another's parts, or as a missing value. -#}
{% macro key_text(column, type, decimals=2) -%}
    {{ return(adapter.dispatch('key_text', 'nyc_tlc')(column, type, decimals)) }}
{%- endmacro %}

{% macro default__key_text(column, type, decimals) -%}
    {{ exceptions.raise_compiler_error("key_text: no text form for this warehouse") }}
{%- endmacro %}

{#- Two arguments of concat_ws, which leaves out the one that is NULL: the number itself, whose text
    it makes faster than a cast does, or a marker for NULL or out of range. -#}
{% macro postgres__key_text(column, type, decimals) -%}
    {%- if type in ('integer', 'smallint') -%}
        {{ column }}, case when {{ column }} is null then '~' end
    {%- elif type == 'date' -%}
        {{ column }} - date '1970-01-01'
    {%- elif type == 'timestamp' -%}
        cast(date_part('epoch', date_bin('1 second', {{ column }}, timestamp '0001-01-01')) as bigint),
        case when {{ column }} is null then '~' end
    {%- elif type == 'double' -%}
        {%- set limit = '1e' ~ (17 - decimals) -%}
        case when abs({{ column }}) < {{ limit }} then cast(floor({{ column }} * {{ 10 ** decimals }} + 0.5) as bigint) end,
        case when {{ column }} is null then '~' when abs({{ column }}) >= {{ limit }} then '!' end
    {%- elif type == 'text' -%}
        coalesce('"' || replace({{ column }}, '"', '""') || '"', '~')
    {%- endif -%}
{%- endmacro %}

{% macro bigquery__key_text(column, type, decimals) -%}
    {%- if type in ('integer', 'smallint') -%}
        coalesce(cast({{ column }} as string), '~')
    {%- elif type == 'date' -%}
        cast(date_diff({{ column }}, date '1970-01-01', day) as string)
    {%- elif type == 'timestamp' -%}
        coalesce(
            cast(
                datetime_diff(datetime_trunc({{ column }}, second), datetime '1970-01-01 00:00:00', second)
                as string
            ),
            '~'
        )
    {%- elif type == 'double' -%}
        case
            when {{ column }} is null then '~'
            when abs({{ column }}) < 1e{{ 17 - decimals }}
                then cast(cast(floor({{ column }} * {{ 10 ** decimals }} + 0.5) as int64) as string)
            else '!'
        end
    {%- elif type == 'text' -%}
        coalesce(concat('"', replace({{ column }}, '"', '""'), '"'), '~')
    {%- endif -%}
{%- endmacro %}


{% macro row_id(row_key, ordinal) -%}
    {{ return(adapter.dispatch('row_id', 'nyc_tlc')(row_key, ordinal)) }}
{%- endmacro %}

{% macro default__row_id(row_key, ordinal) -%}
    {{ exceptions.raise_compiler_error("row_id: no id for this warehouse") }}
{%- endmacro %}

{% macro postgres__row_id(row_key, ordinal) -%}
    cast(md5({{ row_key }} || ('|' || cast({{ ordinal }} as text))) as uuid)
{%- endmacro %}

{% macro bigquery__row_id(row_key, ordinal) -%}
    regexp_replace(
        to_hex(md5({{ row_key }} || '|' || cast({{ ordinal }} as string))),
        r'(.{8})(.{4})(.{4})(.{4})(.{12})',
        r'\1-\2-\3-\4-\5'
    )
{%- endmacro %}
