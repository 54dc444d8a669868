{#- SQL of a test that counts, in one scan, the rows of the tested months that meet a condition of
    failure: one row per month and column, with the count. These rows are its failures. -#}
{% macro rows_by_column(model, conditions) %}
    {{- config(meta={'is_by_column': true}, fail_calc='coalesce(sum(row_count), 0)') -}}

with

trips as (

    select
        file_month
        {%- for column in conditions %},
        {{ column }}
        {%- endfor %}

    from {{ model }}
    where
        {{ is_tested_month(dataset_of(model)) }}
        -- the sums below take time: only rows that break a condition get there
        and (
            {%- for condition in conditions.values() %}
            {{ condition }}{{ ' or' if not loop.last }}
            {%- endfor %}
        )

),

-- One scan for all columns: a month may have 20 million rows.
counted as (

    select
        file_month
        {%- for column, condition in conditions.items() %},
        sum(case when {{ condition }} then 1 else 0 end) as {{ column }}_rows
        {%- endfor %}

    from trips
    group by file_month

),

validation_errors as (

    {% for column in conditions -%}
    select
        file_month,
        '{{ column }}' as column_name,
        {{ column }}_rows as row_count

    from counted
    where {{ column }}_rows > 0
    {%- if not loop.last %}

    union all

    {% endif %}
    {%- endfor %}

)

select * from validation_errors

{% endmacro %}


{#- dbt's own `test` counts the rows that a test returns. A test by rows_by_column returns a row a column;
    its counts are summed, logged, and put into the message in run_results.json. This replaces dbt's
    `test`, as dbt allows no other materialization for tests. -#}
{% materialization test, default %}
    {%- if should_store_failures() or not config.get('meta', {}).get('is_by_column') -%}
        {{ return(dbt.materialization_test_default()) }}
    {%- endif -%}
    {%- set total, counts = config.get('fail_calc'), {} -%}
    {%- set result = run_query(
        "select " ~ total ~ " as failures, " ~ total ~ " " ~ config.get('warn_if') ~ " as should_warn, "
        ~ total ~ " " ~ config.get('error_if') ~ " as should_error, "
        ~ dbt.listagg("column_name || ' ' || cast(row_count as " ~ dbt.type_string() ~ ")")
        ~ " as counted from (" ~ sql ~ ") as validation_errors"
    ) -%}
    {%- for counted in (result.rows[0]['counted'] or '').split(',') if counted -%}
        {%- set column, _, rows = counted.rpartition(' ') -%}
        {%- do counts.update({column: counts.get(column, 0) + rows | int}) -%}
    {%- endfor -%}
    {%- call noop_statement('main', tojson(counts), res=result.exclude(['counted'])) -%}{{ sql }}{%- endcall -%}
    {%- if counts -%}
        {%- set said = [] -%}
        {%- for column, rows in counts.items() -%}{%- do said.append(column ~ ' ' ~ rows) -%}{%- endfor -%}
        {%- do log(model.name ~ ": rows by column: " ~ said | join(', '), info=true) -%}
    {%- endif -%}
    {{ return({'relations': []}) }}
{% endmaterialization %}
