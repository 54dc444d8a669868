{#- The schema set for the folder in dbt_project.yml, with TLC_SCHEMA_PREFIX before it. dbt's own macro would put
    the target's schema first. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- set prefix = env_var('TLC_SCHEMA_PREFIX', '') -%}
    {#- The prefix is part of every statement, and dbt doesn't escape the names that it quotes. -#}
    {%- if not modules.re.fullmatch('[a-z][a-z0-9_]{0,20}|', prefix) -%}
        {{ exceptions.raise_compiler_error(
            "TLC_SCHEMA_PREFIX: use at most 21 lower-case letters, digits and _, a letter first"
        ) }}
    {%- endif -%}
    {{ prefix }}{{ custom_schema_name or target.schema }}
{%- endmacro %}
