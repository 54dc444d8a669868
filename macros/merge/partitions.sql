{% macro partition_of(table, month) %}
    {{ return(table.incorporate(path={'identifier': table.identifier ~ '_' ~ month[:7] | replace('-', '_')}, type='table')) }}
{% endmacro %}


{#- A finished month doesn't change, so its index needs no room for more. dbt's `indexes` can't say so. -#}
{% macro index_ids(built) %}
    {%- call statement('index_ids') -%}
        create unique index on {{ built }} (unique_row_id) with (fillfactor = 100)
    {%- endcall -%}
{% endmacro %}


{% macro check_month(built, month, columns) %}
    {%- call statement('check') -%}
        {{ limit_lock_waits() }};
        alter table {{ built }}
            {%- for column in columns.values() if column.constraints | selectattr('type', 'equalto', 'not_null') | list %}
            alter column {{ adapter.quote(column.name) }} set not null,
            {%- endfor %}
            -- spares the attachment a scan of its own
            add constraint is_file_month check (file_month = date '{{ month }}')
    {%- endcall -%}
{% endmacro %}


{#- Drops a month's partition. Fails when an object of the user's depends on it. -#}
{% macro drop_partition(table, partition, month) %}
    {%- set dependents = drop_if_unused(partition) -%}
    {%- if dependents -%}
        {{ exceptions.raise_compiler_error(
            dataset_of(table) ~ " " ~ month[:7] ~ ": these depend on the month's partition, which is replaced: "
            ~ dependents ~ "; nothing was changed. Define them on " ~ table.schema ~ '.' ~ table.identifier
            ~ ", with: where file_month = date '" ~ month ~ "'"
        ) }}
    {%- endif -%}
{% endmacro %}


{% macro attach_partition(table, partition, built, month) %}
    {%- call statement('attach') -%}
        alter table {{ built }} rename to {{ adapter.quote(partition.identifier) }};
        alter table {{ table }} attach partition {{ partition }} for values in (date '{{ month }}');
        alter table {{ partition }} drop constraint is_file_month;
    {%- endcall -%}
{% endmacro %}
